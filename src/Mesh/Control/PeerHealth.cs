// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>What a node knows of another member from itself.</summary>
internal enum Reach
{
    /// <summary>Not asked yet, or answering.</summary>
    Fine,

    /// <summary>The connection broke or was refused: its process is gone.</summary>
    Refused,

    /// <summary>Three pings went unanswered: it may live and act elsewhere.</summary>
    Silent,
}

/// <summary>
/// Pings every other member once a second on the owner lane and says whom this node cannot reach (rule A7). What it
/// finds serves this node's own decisions; nobody else is told.
/// </summary>
internal sealed class PeerHealth
{
    private const int MissedPings = 3;
    private static readonly TimeSpan PingInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(100);

    private readonly MeshCalls _calls;
    private readonly MeshRuntime _runtime;
    private readonly Func<MeshView> _view;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stop = new();
    private readonly Dictionary<string, Watched> _watched = [];

    public PeerHealth(MeshCalls calls, Func<MeshView> view, MeshRuntime runtime)
    {
        _calls = calls;
        _view = view;
        _runtime = runtime;
        _log = runtime.Log.CreateLogger("mesh.health");
    }

    /// <summary>Called when a member's state changed: who, before, now.</summary>
    public Action<NodeRecord, Reach, Reach>? OnChanged { get; set; }

    /// <summary>Called at each ping that a member did not answer in time.</summary>
    public Action<NodeRecord>? OnMissed { get; set; }

    /// <summary>Called with each member's view when it answered a ping, and when it was asked.</summary>
    public Action<NodeRecord, PingAnswer, long>? OnAnswer { get; set; }

    /// <summary>How this node reaches a member.</summary>
    public Reach ReachOf(string nodeId)
    {
        lock (_watched)
            return _watched.TryGetValue(nodeId, out var watched) ? watched.Reach : Reach.Fine;
    }

    /// <summary>Watches exactly the other members of a view.</summary>
    public void Watch(MeshView view)
    {
        lock (_watched)
        {
            foreach (string gone in _watched.Keys.Where(id => view.Find(id) is null).ToArray())
            {
                _watched[gone].Stop.Cancel();
                _watched.Remove(gone);
            }

            foreach (var member in view.Members)
            {
                if (_calls.IsSelf(member))
                    continue;
                if (_watched.TryGetValue(member.NodeId, out var known) && known.Incarnation == member.Incarnation)
                    continue;
                known?.Stop.Cancel();
                var watched = new Watched(member.NodeId, member.Incarnation,
                    CancellationTokenSource.CreateLinkedTokenSource(_stop.Token));
                _watched[member.NodeId] = watched;
                _ = _runtime.Start(() => WatchAsync(watched));
            }
        }
    }

    /// <summary>Ends all pings.</summary>
    public void Stop() => _stop.Cancel();

    private async Task WatchAsync(Watched watched)
    {
        var cancel = watched.Stop.Token;
        int missed = 0;
        while (!cancel.IsCancellationRequested)
        {
            if (_view().Find(watched.NodeId, watched.Incarnation) is not { } node)
            {
                await PauseAsync(RetryInterval, cancel);
                continue;
            }

            long asked = _runtime.Time.GetTimestamp();
            var answer = await _calls.PingAsync(node, new PingRequest(_view().Id), PingInterval, cancel);
            if (cancel.IsCancellationRequested)
                return;
            if (answer.Succeeded)
            {
                missed = 0;
                Set(watched, node, Reach.Fine);
                OnAnswer?.Invoke(node, answer.Value, asked);
                await PauseOrBreakAsync(node, watched, cancel);
                continue;
            }

            if (answer.Error!.Code == MeshErrorCode.DeadlineExceeded)
            {
                OnMissed?.Invoke(node);
                if (++missed >= MissedPings && watched.Reach != Reach.Refused)
                    Set(watched, node, Reach.Silent);
            }
            else
            {
                Set(watched, node, Reach.Refused);
            }

            var left = answer.Error.Code == MeshErrorCode.DeadlineExceeded
                ? _runtime.Time.LeftOf(PingInterval, asked)
                : RetryInterval;
            await PauseAsync(left > RetryInterval ? left : RetryInterval, cancel);
        }
    }

    /// <summary>
    /// Waits for the next ping's time, or until the connection breaks: then the next ping finds out at once.
    /// </summary>
    private async Task PauseOrBreakAsync(NodeRecord node, Watched watched, CancellationToken cancel)
    {
        var channel = await _calls.Links.ConnectAsync(node, Lane.Owner, PingInterval, cancel);
        if (!channel.Succeeded)
            return;
        try
        {
            await channel.Value.Closed.EndsWithinAsync(PingInterval, _runtime.Time, cancel);
        }
        catch (OperationCanceledException)
        {
            // No longer a member, or we stop.
        }
    }

    private async Task PauseAsync(TimeSpan pause, CancellationToken cancel)
    {
        try
        {
            await _runtime.Delay(pause, cancel);
        }
        catch (OperationCanceledException)
        {
            // The loop looks at the token.
        }
    }

    private void Set(Watched watched, NodeRecord node, Reach reach)
    {
        Reach before;
        lock (_watched)
        {
            before = watched.Reach;
            watched.Reach = reach;
        }

        if (before == reach)
            return;
        _log.LogInformation("peer_reach node={Node} before={Before} now={Now}", node.NodeId, before, reach);
        OnChanged?.Invoke(node, before, reach);
    }

    private sealed class Watched(string nodeId, ulong incarnation, CancellationTokenSource stop)
    {
        public string NodeId { get; } = nodeId;

        public ulong Incarnation { get; } = incarnation;

        public CancellationTokenSource Stop { get; } = stop;

        public Reach Reach { get; set; }
    }
}
