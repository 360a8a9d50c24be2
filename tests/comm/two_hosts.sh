# Two hosts: two network namespaces with host names of their own and a wire between them. Sourced after lib.sh. Needs root, ip(8)
# and Open MPI, whose agent for starting processes on another host is then a line that enters the namespace.
[ "$(id -u)" -eq 0 ] || { echo "skipped: making network namespaces needs root"; exit 77; }
command -v ip >/dev/null && command -v unshare >/dev/null || { echo "skipped: no ip(8) or unshare(1)"; exit 77; }
$is_open_mpi || { echo "skipped: the agent is Open MPI's"; exit 77; }
one=landfall-$$-a two=landfall-$$-b
# clear_hosts: ends all that runs on them.
clear_hosts() {
    for host in "$one" "$two"; do
        ip netns pids "$host" 2>/dev/null | xargs -r kill -9 2>/dev/null
    done
}
trap 'clear_hosts; ip netns del "$one" 2>/dev/null; ip netns del "$two" 2>/dev/null; rm -rf "$tmp"' EXIT
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
    timeout "$limit" "$tmp/on" "$one" "$mpirun" --allow-run-as-root --bind-to none --enable-recovery --mca plm_rsh_agent "$tmp/agent" \
        --mca plm_rsh_no_tree_spawn 1 --mca pml ob1 --mca btl self,vader,tcp --mca oob_tcp_if_include 10.97.0.0/24 \
        --mca btl_tcp_if_include 10.97.0.0/24 -x LANDFALL_MODULE_DIR --host "10.97.0.1:3,10.97.0.2:2" -n 5 "$@"
}

# launcher_crashed LOG: mpirun has, and took its ranks along. Open MPI 4.1.4 with PMIx 4.2 does now and then when a rank's
# library reports that a peer on another host has gone (orte_rml_oob_send_buffer_nb below pmix_server_log_fn).
launcher_crashed() { grep -q 'pmix_server_log_fn' "$1"; }
