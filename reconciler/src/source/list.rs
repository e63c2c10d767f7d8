//! Asks one server where one branch, or another ref, is.

use super::{
    CommitId, Head, ProcessError, Remote, SourceError, address, git_for, in_short, of_any_owner,
    one_ref,
};

pub(super) async fn list_one(remote: &Remote, branch: &str) -> Result<Head, SourceError> {
    list_ref(remote, &format!("refs/heads/{branch}")).await
}

/// Where a ref is, by its full name.
pub(super) async fn list_ref(remote: &Remote, name: &str) -> Result<Head, SourceError> {
    let failed = |source| list_failed(remote, source);
    if let Some(head) = one_ref::ask(remote, name).await? {
        return Ok(head);
    }
    let heads = name.starts_with("refs/heads/").then_some("--heads");
    let output = git_for(remote)
        .map_err(SourceError::Executable)?
        .arg("ls-remote")
        .args(heads)
        .args(of_any_owner(remote))
        .args(["--", &remote.url, name])
        .output()
        .await
        .map_err(failed)?;
    head_in(&output, name).map_err(|problem| SourceError::Answer {
        url: address::without_credentials(&remote.url),
        problem,
    })
}

pub(super) fn list_failed(remote: &Remote, source: ProcessError) -> SourceError {
    SourceError::List {
        url: address::without_credentials(&remote.url),
        source: source.told_by(|said| in_short(remote, said)),
    }
}

pub(crate) fn head_in(output: &[u8], name: &str) -> Result<Head, String> {
    let text = String::from_utf8_lossy(output);
    for line in text.lines() {
        let (id, found) = line
            .split_once('\t')
            .ok_or_else(|| format!("{:?}", line.chars().take(80).collect::<String>()))?;
        if found == name {
            return Ok(Head::At(CommitId::try_from(id.to_owned())?));
        }
    }
    Ok(Head::Missing)
}
