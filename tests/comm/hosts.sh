#!/bin/sh
# Ranks on two hosts: two network namespaces with host names of their own and a wire between them. MPI and the lifelines go over
# TCP, and a host that vanishes (its wire is cut) ends the ranks of the other. Needs root, ip(8) and Open MPI, whose agent for
# starting processes on another host is then a line that enters the namespace. Arguments: RANKS MODELS.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || { echo "skipped: making network namespaces needs root"; exit 77; }
command -v ip >/dev/null && command -v unshare >/dev/null || { echo "skipped: no ip(8) or unshare(1)"; exit 77; }
$is_open_mpi || { echo "skipped: the agent is Open MPI's"; exit 77; }
one=landfall-$$-a two=landfall-$$-b
results=$tmp/results
mkdir "$results"
trap 'ip netns del "$one" 2>/dev/null; ip netns del "$two" 2>/dev/null; rm -rf "$tmp"' EXIT
ip netns add "$one" 2>/dev/null && ip netns add "$two" && ip link add veth0 netns "$one" type veth peer name veth0 netns "$two" ||
    { echo "skipped: this kernel makes no network namespaces"; exit 77; }
ip -n "$one" address add 10.97.0.1/24 dev veth0
ip -n "$two" address add 10.97.0.2/24 dev veth0
for host in "$one" "$two"; do
    ip -n "$host" link set lo up
    ip -n "$host" link set veth0 up
done

# on NAMESPACE COMMAND...: as on a host of that name. Names are found in a file, since there is no name server to ask.
printf '127.0.0.1 localhost\n10.97.0.1 %s\n10.97.0.2 %s\n' "$one" "$two" >"$tmp/hosts"
cat >"$tmp/on" <<END
#!/bin/sh
name=\$1
shift
exec ip netns exec "\$name" unshare --uts --mount sh -c '
    hostname "\$1" && mount --bind "$tmp/hosts" /etc/hosts && mount --bind /dev/null /etc/resolv.conf
    shift
    exec "\$@"' sh "\$name" "\$@"
END
# Open MPI calls: agent HOST COMMAND-LINE.
cat >"$tmp/agent" <<END
#!/bin/sh
shift
exec "$tmp/on" $two sh -c "\$*"
END
chmod +x "$tmp/on" "$tmp/agent"

# hosts COMMAND...: three ranks on the first host, two on the second.
hosts() {
    timeout "$limit" "$tmp/on" "$one" mpirun --allow-run-as-root --bind-to none --enable-recovery --mca plm_rsh_agent "$tmp/agent" \
        --mca plm_rsh_no_tree_spawn 1 --mca pml ob1 --mca btl self,vader,tcp --mca oob_tcp_if_include 10.97.0.0/24 \
        --mca btl_tcp_if_include 10.97.0.0/24 -x LANDFALL_MODULE_DIR --host "10.97.0.1:3,10.97.0.2:2" -n 5 "$@"
}

limit=60
if hosts "$landfall" calls >"$tmp/out" 2>"$tmp/err"; then pass "calls over two hosts"; else fail "calls over two hosts" "$(tail -n 5 "$tmp/err")"; fi
says "all ranks took part" "$tmp/out" "calls: 5 ranks, passed"
limit=10 # mpirun itself stays when a rank was killed, because it was told not to end the others
for who in 0 1 4; do
    hosts "$landfall" die sum "$who" "$results" >"$tmp/out" 2>"$tmp/err"
    told=$(cat "$results"/rank* 2>/dev/null | sort -u)
    host=$one
    [ "$who" -lt 3 ] || host=$two
    if [ "$(find "$results" -type f | wc -l)" -eq 4 ] && printf '%s\n' "$told" | grep -qxE "rank $who \(pid [0-9]+ on host $host\) ended unexpectedly"; then
        pass "rank $who dies, all others know"
    else
        fail "rank $who dies, all others know" "$(find "$results" -type f | wc -l): $told; $(tail -n 3 "$tmp/err")"
    fi
    rm -f "$results"/rank*
done
finish
