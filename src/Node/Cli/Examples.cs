// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Node.Cli;

/// <summary>What the help text shows for each command.</summary>
internal static class Examples
{
    /// <summary>The examples of a command; those of the whole when there is no such command.</summary>
    internal static string[] Of(string command) => command switch
    {
        "serve" =>
        [
            "mooncake-mesh serve --etcd-endpoints 127.0.0.1:2379 --segments 64GiB",
            "mooncake-mesh serve --config /etc/mooncake-mesh/config.json --log-level debug",
            "MOONCAKE_MESH_LISTEN=127.0.0.1:7300 mooncake-mesh serve --config config.json",
        ],
        "dev" => ["mooncake-mesh dev --nodes 3 --segment-size 256MiB", "mooncake-mesh dev --nodes 1 --json"],
        "status" =>
        [
            "mooncake-mesh status --node 127.0.0.1:7300",
            "mooncake-mesh status --etcd 127.0.0.1:2379 --cluster prod --json",
        ],
        "put" =>
        [
            "mooncake-mesh put kv/1 block.bin --node 127.0.0.1:7300",
            "mooncake-mesh put kv/1 new.bin --upsert --pin soft --group session-7 --node 127.0.0.1:7300",
            "head -c 4096 /dev/urandom | mooncake-mesh put kv/2 - --node 127.0.0.1:7300 --replicas 2",
        ],
        "get" =>
        [
            "mooncake-mesh get kv/1 --output block.bin --node 127.0.0.1:7300",
            "mooncake-mesh get kv/1 --node 127.0.0.1:7300 | sha256sum",
        ],
        "exists" => ["mooncake-mesh exists kv/1 kv/2 --node 127.0.0.1:7300"],
        "rm" =>
        [
            "mooncake-mesh rm kv/1 kv/2 --node 127.0.0.1:7300",
            "mooncake-mesh rm --regex '^kv/7[0-9]/' --node 127.0.0.1:7300",
            "mooncake-mesh rm --all --etcd 127.0.0.1:2379",
        ],
        "ls" => ["mooncake-mesh ls kv/ --node 127.0.0.1:7300", "mooncake-mesh ls --node 127.0.0.1:7300 --json"],
        "replay" =>
        [
            "mooncake-mesh replay trace.jsonl --dev 3 --segment-size 24MiB --json",
            "mooncake-mesh replay trace.jsonl --etcd 127.0.0.1:2379 --cluster prod --block-size 64KiB",
            "mooncake-mesh replay trace.jsonl --node 127.0.0.1:7300 --speed x10 --limit 1000",
        ],
        "demo" => ["mooncake-mesh demo", "mooncake-mesh demo --etcd 127.0.0.1:2379 --cluster demo --kill 4711"],
        "bench" => ["mooncake-mesh bench store", "mooncake-mesh bench allocator --json"],
        "allocator" or "directory" or "memory" or "transfer" or "store" =>
        [
            $"mooncake-mesh bench {command}",
            $"mooncake-mesh bench {command} --json --etcd 127.0.0.1:2379",
        ],
        "trace" => ["mooncake-mesh trace --requests 600 > trace.jsonl"],
        "doctor" => ["mooncake-mesh doctor --segments 64GiB", "mooncake-mesh doctor --config config.json --json"],
        "config" or "check" =>
        [
            "mooncake-mesh config check /etc/mooncake-mesh/config.json",
            "mooncake-mesh config check config.json --json",
        ],
        "version" => ["mooncake-mesh version --json"],
        _ =>
        [
            "mooncake-mesh dev --nodes 3",
            "mooncake-mesh serve --etcd-endpoints 127.0.0.1:2379 --segments 64GiB",
            "mooncake-mesh put kv/1 block.bin --node 127.0.0.1:7300",
        ],
    };
}
