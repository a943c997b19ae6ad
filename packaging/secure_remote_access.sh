#!/bin/sh
# Activate or deactivate this machine as a remote of Secure Remote Access: the options of the macOS product, passed on to
# "sra activate" and "sra deactivate". Options can be given in any order and together: -a -g -s is -ags.
set -eu

usage() {
    cat <<'END'
Usage: secure_remote_access.sh -a [-g | -c FINGERPRINT] [-s] [--virtual-screen]
       secure_remote_access.sh -d

  -a              activate: install and start the service
  -g              make a self-signed TLS identity, install it, and trust it on this machine
  -c FINGERPRINT  use the installed identity that has this SHA-1 (or SHA-256) fingerprint
  -s              add the screen sharing user and turn on the ability to share the screen
  --virtual-screen  as -s, on a machine without a monitor: LightDM's login window on a screen that only sharing shows
  -d              deactivate: take back everything that -a did
  -h              show this

As root. The identities that -c can choose: sra identity list
END
}

fail() {
    echo "secure_remote_access.sh: error: $1" >&2
    exit 2
}

refuse() {
    usage >&2
    fail "$1"
}

# Whether nobody but root (or who runs this) can change this file, or put another one in its place.
is_safe() {
    file=$1
    while others=$(find "$file" -maxdepth 0 \( -type l -o ! -user 0 ! -user "$(id -u)" -o -perm /022 ! -perm -1000 \)); do
        [ -z "$others" ] || return 1
        [ "$file" != / ] || return 0
        file=$(dirname "$file")
    done
    return 1
}

# The installed program (/usr/bin/sra for /usr/sbin/secure_remote_access.sh), or that of the checkout in whose folder
# "packaging" this file lies.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
case $here in
*/sbin) sra=${here%/sbin}/bin/sra ;;
*) sra=/usr/bin/sra ;;
esac
checkout=${here%/packaging}/.venv/bin/sra
if [ "$here" != "${here%/packaging}" ] && [ -x "$checkout" ]; then
    is_safe "$checkout" || fail "$checkout can be changed by others than root, so it is not run; take a checkout of root's"
    sra=$checkout
fi

unset certificate
activate=no deactivate=no generate='' screen='' virtual=''
while getopts agc:sdh-: option; do
    case $option in
    a) activate=yes ;;
    g) generate=--generate ;;
    c) certificate=$OPTARG ;;
    s) screen=--screen ;;
    -) [ "$OPTARG" = virtual-screen ] || refuse "there is no such option"
        virtual=--virtual-screen ;;
    d) deactivate=yes ;;
    h) usage && exit 0 ;;
    *) refuse "there is no such option, or its value is missing" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || refuse "“$1” is no option"

case $activate$deactivate in
yesyes) refuse "activate (-a) or deactivate (-d), not both" ;;
nono) refuse "activate (-a) or deactivate (-d)?" ;;
noyes)
    [ -z "$generate$screen$virtual${certificate+given}" ] || refuse "-d stands alone"
    exec "$sra" deactivate
    ;;
esac
exec "$sra" activate ${generate:+"$generate"} ${certificate+--certificate "$certificate"} ${screen:+"$screen"} \
    ${virtual:+"$virtual"}
