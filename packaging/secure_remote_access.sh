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

refuse() {
    echo "secure_remote_access.sh: error: $1" >&2
    usage >&2
    exit 2
}

# The installed program, or that of the checkout in which this file lies.
checkout=$(dirname "$0")/../.venv/bin/sra
sra=/usr/bin/sra
if [ -x "$checkout" ]; then sra=$checkout; fi

activate=no deactivate=no generate= certificate= screen= virtual=
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
    [ -z "$generate$certificate$screen$virtual" ] || refuse "-d stands alone"
    exec "$sra" deactivate
    ;;
esac
exec "$sra" activate ${generate:+"$generate"} ${certificate:+--certificate "$certificate"} ${screen:+"$screen"} \
    ${virtual:+"$virtual"}
