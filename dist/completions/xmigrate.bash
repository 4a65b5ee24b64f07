# SPDX-License-Identifier: MIT
# bash completion for xmigrate(8).

_xmigrate_domains() {
    xl list 2>/dev/null | awk 'NR > 1 && $1 != "Domain-0" { print $1 }'
}

# Hosts go by the names that `trusted` has for them.
_xmigrate_hosts() {
    awk '/^SHA256:/ && $2 != "-" { print $2 }' /etc/xmigrate/trusted 2>/dev/null
}

_xmigrate() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=
    local options='--live --offline --estimate --checkpoint --save --restore --inspect --export
        --flatten --check
        --listen --identity --trust --untrust --recover --resolve --resume --dismiss --cleanup --status
        --cancel --set --metrics --pair --peer --help --version
        --lanes --max-downtime --max-rounds --max-time --max-bytes --on-stall --bandwidth --compress
        --delta-cache
        --connect-timeout --silent-timeout --suspend-timeout --start-timeout --config-dir --insecure --kernel-tls
        --as-root --max-incoming --no-announce --early-disks --force --resume-as --while-suspended
        --hook-timeout --every --keep --compact --parent --encrypt --key
        --name --disk --disks-as-they-are --clone --paused --config --preserve-domid --bind --dscp
        --json --quiet --verbose'

    case $prev in
    --on-stall) words='suspend throttle abort' ;;
    --early-disks) words='safe none all' ;;
    --compress) words='auto none lz4 zstd' ;;
    --resume-as) words='cooperative revive' ;;
    --live | --offline | --estimate) words=$(_xmigrate_hosts) ;;
    --check) words="$(_xmigrate_hosts) $(_xmigrate_domains)" ;;
    --untrust | --peer) words=$(_xmigrate_hosts) ;;
    --resume | --resolve | --dismiss | --cleanup | --status | --cancel | --set) words=$(_xmigrate_domains) ;;
    --config-dir) compopt -o dirnames; return ;;
    --checkpoint | --save | --restore | --inspect | --metrics | --config | -C | --export | --flatten | --parent | --encrypt | --key) compopt -o default; return ;;
    *)
        case $cur in
        -*) words=$options ;;
        *) words=$(_xmigrate_domains) ;;
        esac
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _xmigrate xmigrate
