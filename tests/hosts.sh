#!/bin/sh
# Two hosts for a test, reached by ssh: network namespaces of their own, and a third for the client, so that nothing outside is
# touched or reached. Needs root, ip and sshd; keys and settings lie in DIR alone.
#
#   tests/hosts.sh possible        exit 0 if that can be done here, else says why not
#   tests/hosts.sh start DIR       makes host-a and host-b; DIR/ssh runs a command on one: DIR/ssh host-a hostname
#   tests/hosts.sh run DIR COMMAND...   runs a command where the hosts can be reached
#   tests/hosts.sh down DIR HOST   ends the ssh server of one host, and what it runs
#   tests/hosts.sh stop DIR        ends all of it; DIR stays
#
# The hosts see the same files. MLRUNS_TOOLS_PATH is the PATH that commands have there.
set -eu

dir=${2-}
PATH=$PATH:/usr/sbin:/sbin

possible() {
    [ "$(id -u)" -eq 0 ] || { echo "not root"; return 1; }
    for program in ip sshd ssh-keygen ssh unshare; do
        command -v "$program" >/dev/null || { echo "no $program here"; return 1; }
    done
    probe=mlrt-probe-$$
    ip netns add $probe 2>/dev/null || { echo "no network namespaces here"; return 1; }
    why=
    ip netns exec $probe true 2>/dev/null || why="nothing can run in a network namespace here (is / a mount point?)"
    ip -n $probe link add left type veth peer name right 2>/dev/null || why="no links between network namespaces here"
    ip netns del $probe
    [ -z "$why" ] || { echo "$why"; return 1; }
}

# The namespaces' names are short, new, and remembered.
space() {
    echo "mlrt-$(cat "$dir/id")-$1"
}

# host NAME NUMBER: joined to the client by a link of its own, 192.0.2.N+1 there and 192.0.2.N here.
host() {
    ip netns add "$(space "$1")"
    ip -n "$(space client)" link add "to-$1" type veth peer name eth0 netns "$(space "$1")"
    ip -n "$(space client)" addr add "192.0.2.$2/30" dev "to-$1"
    ip -n "$(space client)" link set "to-$1" up
    ip -n "$(space "$1")" addr add "192.0.2.$(($2 + 1))/30" dev eth0
    ip -n "$(space "$1")" link set eth0 up
    ip -n "$(space "$1")" link set lo up
    printf 'host-%s %s\n' "$1" "$(cut -d' ' -f1,2 "$dir/hostkey.pub")" >>"$dir/known_hosts"
    printf 'Host host-%s\n  HostName 192.0.2.%s\n  HostKeyAlias host-%s\n' "$1" "$(($2 + 1))" "$1" >>"$dir/ssh_config"
    # The server wants a directory in /run, which it gets in a view of its own; so does the host a name.
    # shellcheck disable=SC2016 # expanded by the inner shell
    setsid ip netns exec "$(space "$1")" unshare --uts sh -c 'hostname "$1"; mount -t tmpfs none /run; mkdir /run/sshd
        exec "$2" -D -e -f "$3"' sh "host-$1" "$(command -v sshd)" "$dir/sshd_config" >"$dir/$1.log" 2>&1 </dev/null &
    echo $! >"$dir/$1.pid"
}

# Ends every process of one namespace, and only those.
clear_space() {
    for round in TERM KILL; do
        pids=$(ip netns pids "$1" 2>/dev/null) || return 0
        [ -n "$pids" ] || return 0
        # shellcheck disable=SC2086 # one word a process
        kill -s "$round" $pids 2>/dev/null || :
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            [ -n "$(ip netns pids "$1")" ] || return 0
            sleep 0.1
        done
    done
}

start() {
    mkdir -p "$dir"
    od -An -N4 -tx1 /dev/urandom | tr -d ' \n' >"$dir/id"
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/hostkey"
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/key"
    cat >"$dir/sshd_config" <<CONF
HostKey $dir/hostkey
AuthorizedKeysFile $dir/key.pub
PidFile none
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
MaxStartups 100
MaxSessions 100
SetEnv PATH=${MLRUNS_TOOLS_PATH:-$PATH}
CONF
    cat >"$dir/ssh_config" <<CONF
Host *
  User root
  IdentityFile $dir/key
  IdentitiesOnly yes
  UserKnownHostsFile $dir/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 5
  LogLevel ERROR
CONF
    printf '#!/bin/sh\nexec ssh -F "%s/ssh_config" "$@"\n' "$dir" >"$dir/ssh"
    chmod 755 "$dir/ssh"
    ip netns add "$(space client)"
    ip -n "$(space client)" link set lo up
    host a 1
    host b 5
    for name in a b; do
        for _ in $(seq 6000); do # ends a hang and nothing else
            grep -q 'Server listening' "$dir/$name.log" && break
            sleep 0.05
        done
        ip netns exec "$(space client)" "$dir/ssh" "host-$name" true || {
            cat "$dir/$name.log" >&2
            return 1
        }
    done
}

stop() {
    [ -e "$dir/id" ] || return 0
    for name in client a b; do
        clear_space "$(space $name)"
        ip netns del "$(space $name)" 2>/dev/null || :
    done
}

case ${1-} in
possible) possible ;;
start) start ;;
run)
    shift 2
    exec ip netns exec "$(space client)" "$@"
    ;;
down) clear_space "$(space "${3#host-}")" ;;
stop) stop ;;
*)
    echo "usage: tests/hosts.sh possible | start DIR | run DIR COMMAND... | down DIR HOST | stop DIR" >&2
    exit 2
    ;;
esac
