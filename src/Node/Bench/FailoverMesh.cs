// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>A mesh of three nodes, of which the last is the one to be lost, and the keys that are asked for.</summary>
internal sealed class FailoverMesh(BenchMesh mesh, MeshClient client) : IAsyncDisposable
{
    /// <summary>Number of the node that is lost.</summary>
    internal const int Victim = 2;

    internal const long SegmentBytes = 256L << 20;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);
    private readonly List<(MeshKey Key, byte[] Value)> _objects = [];
    private AnswerWatch? _watch;

    /// <summary>What there is to know of a key whose figures are kept, in the order they are reported in.</summary>
    internal static IReadOnlyList<string> Keys { get; } = ["primary", "copy.4KiB", "copy.1MiB"];

    /// <summary>Flags of its nodes.</summary>
    internal static string[] Flags { get; } = ["--lease-ttl", "3s"];

    internal BenchMesh Mesh => mesh;

    /// <summary>
    /// Puts one object of each kind: a key whose primary is the victim while another node holds the value, and two of
    /// which the victim, the first choice, holds one of two copies.
    /// </summary>
    internal async Task PutAsync(int round, CancellationToken cancel)
    {
        string victim = BenchMesh.NodeId(Victim);
        string other = BenchMesh.NodeId(round % Victim);
        _objects.Clear();
        await PutAsync($"{round}/primary", 4096, key => client.OwnersOf(key)[0] == victim, other, 1, cancel);
        await PutAsync($"{round}/copy4k", 4096, key => client.OwnersOf(key)[0] == victim, victim, 2, cancel);
        await PutAsync($"{round}/copy1m", 1 << 20, key => client.OwnersOf(key)[0] == other, victim, 2, cancel);
    }

    /// <summary>Starts to ask for them.</summary>
    internal async Task WatchAsync(CancellationToken cancel) =>
        _watch = await AnswerWatch.StartAsync(client, _objects, cancel);

    /// <summary>Ends that; what the callers met.</summary>
    internal async Task<WatchedKey[]> EndAsync()
    {
        WatchedKey[] met = await _watch!.EndAsync();
        _watch = null;
        return met;
    }

    /// <summary>
    /// Waits until exactly so many nodes are members, each is ready, knows the others to be fine and has all it owns.
    /// </summary>
    internal async Task SettleAsync(int nodes, CancellationToken cancel)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!await IsSettledAsync(nodes, cancel))
        {
            if (TimeProvider.System.GetElapsedTime(start) > Limit)
            {
                throw new MeshException(new MeshError(MeshErrorCode.DeadlineExceeded, "bench",
                    $"a mesh of {nodes} has not settled within {Limit.TotalSeconds:0} s"));
            }

            await Task.Delay(Poll, cancel);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_watch is not null)
            await _watch.EndAsync();
        await client.DisposeAsync();
        await mesh.DisposeAsync();
    }

    private async Task<bool> IsSettledAsync(int nodes, CancellationToken cancel)
    {
        if (client.Nodes.Count != nodes)
            return false;
        IReadOnlyList<(string NodeId, MeshResult<NodeStatus> Status)> states =
            await client.TryStatusOfAllAsync(cancel);
        return states.Count == nodes && states.All(s => s.Status.Succeeded
            && s.Status.Value is { Ready: true, Degraded: false, Slots: { Incomplete: 0, Owed: 0 } } state
            && state.View.Members.Count == nodes && state.View.Members.All(m => m.Reach is "fine" or "self"));
    }

    private async Task PutAsync(string name, int size, Func<MeshKey, bool> fits, string holder, int copies,
        CancellationToken cancel)
    {
        MeshKey key = Enumerable.Range(0, int.MaxValue).Select(i => new MeshKey($"{name}/{i}")).First(fits);
        byte[] value = new byte[size];
        new Random((int)key.Hash).NextBytes(value);
        var options = new PutOptions
        {
            Placement = Placement.Preferred,
            PreferredNode = holder,
            Replicas = copies,
            Deadline = Limit,
        };
        // A put succeeds with one copy where a node is busy; a put of the same bytes adds what is lacking.
        long start = TimeProvider.System.GetTimestamp();
        do
        {
            if (TimeProvider.System.GetElapsedTime(start) > Limit)
                throw new MeshException(new MeshError(MeshErrorCode.DeadlineExceeded, "bench", $"no copies of {name}"));
            await client.PutAsync(key, value, options, cancel);
        }
        while ((await client.TryLocateBatchAsync([key], cancel)).CopiesOf(0) < copies);

        _objects.Add((key, value));
    }
}
