// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>What every operation works with: the view, the calls, the clock.</summary>
internal sealed class FlowContext(MeshRuntime runtime, ViewTracker views, MeshCalls calls, string nodeId)
{
    private static readonly TimeSpan GoneLimit = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan ProbeLimit = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan AskAgainAfter = TimeSpan.FromMilliseconds(100);

    public MeshRuntime Runtime { get; } = runtime;

    /// <summary>The threads that wait for devices; null: this process uses none.</summary>
    public DeviceQueues? Devices { get; } = runtime.Devices is null ? null : new DeviceQueues(runtime.Time);

    /// <summary>Which memory of callers is a device's.</summary>
    public CallerMemory CallerMemory { get; } = new(runtime.Devices);

    public ViewTracker Views { get; } = views;

    public MeshCalls Calls { get; } = calls;

    /// <summary>What this caller has seen of keys.</summary>
    public SeenVersions Seen => Views.Seen;

    /// <summary>Our node id, or empty in a client.</summary>
    public string NodeId { get; } = nodeId;

    public MeshView View => Views.View;

    /// <summary>Whether calls to this node are pointless at the moment.</summary>
    public bool IsDown(NodeRecord node) => !Calls.IsSelf(node) && Calls.Links.IsDown(node);

    /// <summary>
    /// Asks a node, in the background, for a sign of life: one that gives none is taken last for a while.
    /// </summary>
    public void Probe(NodeRecord node)
    {
        if (!Calls.IsSelf(node) && !IsDown(node))
            _ = Calls.PingAsync(node, new PingRequest(View.Id), ProbeLimit, CancellationToken.None);
    }

    /// <summary>
    /// Asks what only one node can answer, and what changes nothing, until the limit: another call's patience with the
    /// node, a ping's perhaps, ends the connection for all, and the node is worth no call for a while after that.
    /// </summary>
    public async Task<MeshResult<T>> AskAsync<T>(TimeSpan limit, Func<TimeSpan, Task<MeshResult<T>>> ask,
        CancellationToken cancel)
    {
        var deadline = new Deadline(Runtime.Time, limit);
        while (true)
        {
            var answer = await ask(deadline.AtMost(limit));
            if (answer.Error is not { Code: MeshErrorCode.DeadlineExceeded } || deadline.Left <= AskAgainAfter)
                return answer;
            await Task.WhenAny(Runtime.Delay(AskAgainAfter, cancel));
            if (cancel.IsCancellationRequested)
                return new MeshError(MeshErrorCode.Cancelled, "ask", "the caller cancelled");
        }
    }

    /// <summary>Whether a node's process is gone: its host refuses us, or another life of it answers.</summary>
    public async Task<bool> IsGoneAsync(NodeRecord node, Deadline deadline, CancellationToken cancel)
    {
        if (Calls.IsSelf(node))
            return false;
        var opened = await Calls.Links.ConnectAsync(node, Lane.Client, deadline.AtMost(GoneLimit), cancel);
        return opened.Error is { Code: MeshErrorCode.Unavailable };
    }

    /// <summary>The <paramref name="turn"/>th of <see cref="CandidatesOf"/>; null when there are fewer.</summary>
    public NodeRecord? Candidate(int slot, int turn)
    {
        // Nearly always the primary is asked and is fine: no list is made for that.
        if (turn == 0 && View.Owner(slot, 0) is { } primary && !IsDown(primary))
            return primary;
        var candidates = CandidatesOf(slot);
        return turn < candidates.Count ? candidates[turn] : null;
    }

    /// <summary>
    /// Whom to ask about a slot, in order: the preference list, then those of the view before; nodes that are down
    /// come last. Callers walk the list (rule A7); only a complete acting owner denies.
    /// </summary>
    public List<NodeRecord> CandidatesOf(int slot)
    {
        var view = View;
        var candidates = new List<NodeRecord>(SlotTable.Places * 2);
        var down = new List<NodeRecord>(2);
        for (int place = 0; place < SlotTable.Places; place++)
        {
            if (view.Owner(slot, place) is { } node)
                (IsDown(node) ? down : candidates).Add(node);
        }

        var previous = Views.Previous;
        if (previous.Config.Slots == view.Config.Slots && previous.Members.Count > 0)
        {
            for (int place = 0; place < SlotTable.Places; place++)
            {
                if (previous.Owner(slot, place) is { } node && view.Find(node.NodeId, node.Incarnation) is { } still
                    && !candidates.Contains(still) && !down.Contains(still))
                    candidates.Add(still);
            }
        }

        candidates.AddRange(down);
        return candidates;
    }

    /// <summary>Slot of a key in the present view.</summary>
    public int SlotOf(in MeshKey key) => View.SlotOf(key.Hash);
}

/// <summary>A point in time by which a call must have ended.</summary>
internal readonly struct Deadline(TimeProvider time, TimeSpan limit)
{
    private readonly long _start = time.GetTimestamp();

    /// <summary>How long the call may take in all.</summary>
    public TimeSpan Limit { get; } = limit;

    /// <summary>What has passed.</summary>
    public TimeSpan Elapsed => time.GetElapsedTime(_start);

    /// <summary>What is left; zero when it has passed.</summary>
    public TimeSpan Left => time.LeftOf(Limit, _start);

    public bool Passed => Left <= TimeSpan.Zero;

    /// <summary>The smaller of what is left and <paramref name="most"/>, at least 1 ms.</summary>
    public TimeSpan AtMost(TimeSpan most)
    {
        var left = Left;
        left = left < most ? left : most;
        return left > TimeSpan.FromMilliseconds(1) ? left : TimeSpan.FromMilliseconds(1);
    }

    public MeshError Error(string stage) =>
        new(MeshErrorCode.DeadlineExceeded, stage, $"not done within {Limit.TotalMilliseconds:0} ms");
}

/// <summary>Pauses between tries: 2 ms, doubling to 50 ms.</summary>
internal struct Backoff
{
    private double _milliseconds;

    public Task PauseAsync(FlowContext context, in Deadline deadline, CancellationToken cancel)
    {
        _milliseconds = _milliseconds == 0 ? 2 : Math.Min(_milliseconds * 2, 50);
        return context.Runtime.Delay(deadline.AtMost(TimeSpan.FromMilliseconds(_milliseconds)), cancel);
    }
}
