# Links every file of the generation's etc into /etc, by way of /etc/static, and removes what the
# generation before had and this one has not (nixpkgs' setup-etc.pl). Keeps to builtins of the shell
# where nothing changes, so that it takes milliseconds.
ln -sfn "$systemConfig/etc" /etc/static.new
mv -T /etc/static.new /etc/static

# Links whose target is gone.
while IFS= read -r _link; do
  [ -e "$_link" ] || rm -f "$_link"
done < <(find /etc -type l -lname '/etc/static/*')

_copies=()
while IFS= read -r _file; do
  _file=${_file#./}
  case $_file in
    *.mode | systemd/system/*) continue ;;
  esac
  if [ -e "/etc/static/$_file.mode" ]; then
    read -r _mode < "/etc/static/$_file.mode"
    [ -d "/etc/${_file%/*}" ] || mkdir -p "/etc/${_file%/*}"
    install -m "$_mode" "/etc/static/$_file" "/etc/$_file.new"
    mv -T "/etc/$_file.new" "/etc/$_file"
    _copies+=("$_file")
  elif [ -L "/etc/$_file" ] && [ "/etc/$_file" -ef "/etc/static/$_file" ]; then
    :
  else
    case $_file in */*) [ -d "/etc/${_file%/*}" ] || mkdir -p "/etc/${_file%/*}" ;; esac
    ln -sfn "/etc/static/$_file" "/etc/$_file.new"
    mv -T "/etc/$_file.new" "/etc/$_file"
  fi
done < <(cd /etc/static/ && find . ! -type d && echo ./systemd/system)

# Copies that the generation before made.
if [ -e /etc/.clean ]; then
  while IFS= read -r _file; do
    case " ${_copies[*]} " in
      *" $_file "*) ;;
      *) rm -f "/etc/$_file" ;;
    esac
  done < /etc/.clean
fi
printf '%s\n' "${_copies[@]}" > /etc/.clean
