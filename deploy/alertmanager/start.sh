#!/bin/sh
# Starts Alertmanager with the mail server of the secret smtp_url, because Alertmanager reads no environment variables.
#
# ALERT_EMAIL gets the alerts, MAIL_FROM sends them. SMTP_URL is described in docs/configuration.md.
set -eu
here=$(dirname "$0")
work=${WORK_DIR:-/tmp}
umask 077

url=$(cat "${SMTP_URL_FILE:-/run/secrets/smtp_url}")
scheme=${url%%://*}
rest=${url#*://}
query=
case $rest in *\?*) query=${rest#*\?}; rest=${rest%%\?*} ;; esac
rest=${rest%/}
user= password=
case $rest in
  *@*)
    login=${rest%@*}
    rest=${rest##*@}
    user=${login%%:*}
    case $login in *:*) password=${login#*:} ;; esac
    ;;
esac
case $rest in
  *:*) ;;
  *) if [ "$scheme" = smtps ]; then rest=$rest:465; else rest=$rest:587; fi ;;
esac
# With starttls=auto our own sender encrypts if it can. Alertmanager cannot try: it must encrypt, or must not.
require_tls=true
case "&$query&" in *"&starttls=never&"*) require_tls=false ;; esac

decoded() { # %40 becomes @. Not every shell's printf knows \x40, so the byte is written as an octal number.
  text=$1
  while [ "$text" != "${text#*%}" ]; do
    printf '%s' "${text%%\%*}"
    text=${text#*%}
    code=${text%"${text#??}"}
    printf '%b' "\\0$(printf '%03o' "0x$code")"
    text=${text#??}
  done
  printf '%s' "$text"
}
quoted() { printf '%s' "$1" | sed "s/'/''/g; s/[&|\\\\]/\\\\&/g"; } # for YAML's '…' within sed's s|…|…|

decoded "$password" >"$work/smtp_password"
sed \
  -e "s|server.invalid:25|$(quoted "$rest")|" \
  -e "s|sender@alerts.invalid|$(quoted "$MAIL_FROM")|" \
  -e "s|receiver@alerts.invalid|$(quoted "$ALERT_EMAIL")|" \
  -e "s|user@alerts.invalid|$(quoted "$(decoded "$user")")|" \
  -e "s|/tmp/smtp_password|$work/smtp_password|" \
  -e "s|smtp_require_tls: true|smtp_require_tls: $require_tls|" \
  "$here/alertmanager.yml" >"$work/alertmanager.yml"
[ -n "$user" ] || sed -i '/smtp_auth_/d' "$work/alertmanager.yml"

exec "${ALERTMANAGER:-alertmanager}" --config.file="$work/alertmanager.yml" "$@"
