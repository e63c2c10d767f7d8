//! A child that is asked something, answers, and waits for more.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};

use super::{Group, Invocation, ProcessError, tail_of};

/// How long a child may take to end once it was told to.
const END: Duration = Duration::from_secs(5);

/// A child that has answered and waits. It is ended, with its whole process group, when this is dropped; if
/// this process is killed, it sees the end of its input.
#[derive(Debug)]
pub struct Session {
    child: Child,
    group: Group,
    input: Option<ChildStdin>,
    last: Vec<u8>,
}

impl Session {
    /// The same, with what the child is told at the end.
    #[must_use]
    pub fn ends_with(mut self, last: Vec<u8>) -> Self {
        self.last = last;
        self
    }

    /// Tells the child that this was all, and waits for its end, but not for long.
    pub async fn end(mut self) {
        if let Some(mut input) = self.input.take() {
            // It may have ended already.
            let _ = input.write_all(&self.last).await;
        }
        if let Ok(Ok(_)) = tokio::time::timeout(END, self.child.wait()).await {
            self.group.ended();
        }
    }
}

impl Invocation {
    /// Runs the program until its standard output is an answer, as `is_answer` sees it. Gives the answer and
    /// the child, which waits for more; no child where the output ended first, and the program with it.
    ///
    /// # Errors
    /// Those of [`Invocation::output`]; the limit is that of the answer.
    pub async fn converse(
        self,
        is_answer: impl Fn(&[u8]) -> bool,
    ) -> Result<(Vec<u8>, Option<Session>), ProcessError> {
        let program = self.program.to_string_lossy().into_owned();
        let _wait = self.wait(&program);
        let (mut child, group) = self.spawn()?;
        let read = |source| ProcessError::Read {
            program: program.clone(),
            source,
        };
        let mut input = child.stdin.take();
        let mut stdout = child.stdout.take();
        let work = async {
            if let (Some(pipe), Some(bytes)) = (&mut input, &self.input) {
                // A child that does not read it is judged by its end.
                let _ = pipe.write_all(bytes).await;
            }
            let mut answer = Vec::new();
            let mut chunk = vec![0; 8192];
            while let Some(pipe) = &mut stdout {
                let count = pipe.read(&mut chunk).await.map_err(read)?;
                if count == 0 {
                    break;
                }
                answer.extend_from_slice(&chunk[..count]);
                if answer.len() > self.output_limit {
                    return Err(ProcessError::OutputTooLong {
                        program: program.clone(),
                        limit: self.output_limit,
                    });
                }
                if is_answer(&answer) {
                    return Ok((answer, None));
                }
            }
            drop(input.take());
            let stderr = tail_of(child.stderr.take(), &mut |_| {})
                .await
                .map_err(read)?;
            let status = child.wait().await.map_err(read)?;
            Ok((answer, Some((status, stderr))))
        };
        let worked = tokio::time::timeout(self.limit, work).await;
        let (answer, ended) = worked.unwrap_or_else(|_| {
            Err(ProcessError::TimedOut {
                program: program.clone(),
                limit: self.limit,
            })
        })?;
        let mut group = group;
        match ended {
            None => {
                // What it may still say has somewhere to go.
                child.stdout = stdout;
                let session = Session {
                    child,
                    group,
                    input,
                    last: Vec::new(),
                };
                Ok((answer, Some(session)))
            }
            Some((status, stderr)) => {
                group.ended();
                if status.success() {
                    return Ok((answer, None));
                }
                Err(ProcessError::Failed {
                    program,
                    status,
                    stderr,
                })
            }
        }
    }
}
