// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>
/// Our connections to other nodes, one per life of a node and lane, made on demand, one attempt at a time. A node that
/// could not be reached is on the negative list for at most 2 s: calls to it fail at once. Any frame from it ends that.
/// Two lives of a node may be there at once: nothing of the one counts for the other. Thread-safe.
/// </summary>
internal sealed class PeerLinks
{
    /// <summary>Stage of the errors of who could not be connected to.</summary>
    public const string Stage = "link";

    private static readonly TimeSpan ClientLeavesAfter = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);

    private readonly Dictionary<(Life Life, Lane Lane), Link> _links = [];
    private readonly Dictionary<Life, Trouble> _troubles = [];
    private readonly Func<Lane, string, Hello> _hello;
    private readonly IPeerHandler _handler;
    private readonly Handshake _handshake;
    private readonly MeshRuntime _runtime;
    private readonly string _bootId;
    private bool _closed;

    public PeerLinks(Func<Lane, string, Hello> hello, Handshake handshake, IPeerHandler handler, MeshRuntime runtime,
        string bootId)
    {
        _hello = hello;
        _handshake = handshake;
        _handler = handler;
        _runtime = runtime;
        _bootId = bootId;
    }

    /// <summary>
    /// Calls a node on a lane, connecting first when there is no connection. A <paramref name="probe"/> goes past the
    /// negative list.
    /// </summary>
    public Task<MeshResult<TAnswer>> CallAsync<TRequest, TAnswer>(NodeRecord node, Lane lane, in TRequest request,
        TimeSpan timeout, CancellationToken cancel, bool probe = false, bool goOn = false)
        where TRequest : IWireRequest<TRequest, TAnswer>
        where TAnswer : IWireMessage<TAnswer>
    {
        // With an open connection there is nothing to wait for but the answer.
        return OpenTo(node, lane, probe) is { } open
            ? open.CallAsync<TRequest, TAnswer>(request, timeout, cancel, goOn)
            : ConnectAndCallAsync<TRequest, TAnswer>(node, lane, request, timeout, cancel, probe);
    }

    private async Task<MeshResult<TAnswer>> ConnectAndCallAsync<TRequest, TAnswer>(NodeRecord node, Lane lane,
        TRequest request, TimeSpan timeout, CancellationToken cancel, bool probe)
        where TRequest : IWireRequest<TRequest, TAnswer>
        where TAnswer : IWireMessage<TAnswer>
    {
        long start = _runtime.Time.GetTimestamp();
        var channel = await ConnectAsync(node, lane, timeout, cancel, probe);
        if (!channel.Succeeded)
            return channel.Error!;
        var left = _runtime.Time.LeftOf(timeout, start);
        if (left <= TimeSpan.Zero)
            return new MeshError(MeshErrorCode.DeadlineExceeded, Stage, $"no time left to ask {node.NodeId}");
        return await channel.Value.CallAsync<TRequest, TAnswer>(request, left, cancel);
    }

    /// <summary>The open connection that a call may take; null when one has to be made, or none may be.</summary>
    private PeerChannel? OpenTo(NodeRecord node, Lane lane, bool probe)
    {
        lock (_links)
        {
            return !_closed && _links.TryGetValue((Life.Of(node), lane), out var link)
                && link.Channel is { IsOpen: true } open
                && (probe || InTrouble(node) is not { Silent: true })
                ? open
                : null;
        }
    }

    /// <summary>The open connection to a node, or a new one.</summary>
    public async ValueTask<MeshResult<PeerChannel>> ConnectAsync(NodeRecord node, Lane lane, TimeSpan timeout,
        CancellationToken cancel, bool probe = false)
    {
        Task<MeshResult<PeerChannel>> attempt;
        lock (_links)
        {
            if (_closed)
                return new MeshError(MeshErrorCode.Closed, Stage, "this peer has been closed");
            if (!_links.TryGetValue((Life.Of(node), lane), out var link))
                link = AddLink(Life.Of(node), lane);
            if (link.Channel is { IsOpen: true } open)
            {
                if (!probe && InTrouble(node) is { Silent: true } stuck)
                    return stuck.Error;
                return open;
            }

            if (!probe && InTrouble(node) is { } trouble)
                return trouble.Error;
            link.Channel = null;
            attempt = link.Attempt ??= _runtime.Start(() => AttemptAsync(node, lane, link));
        }

        try
        {
            if (await attempt.EndsWithinAsync(timeout, _runtime.Time, cancel))
                return await attempt;
            return new MeshError(MeshErrorCode.DeadlineExceeded, Stage,
                $"no connection to {node.NodeId} within {timeout.TotalMilliseconds:0} ms");
        }
        catch (OperationCanceledException)
        {
            return new MeshError(MeshErrorCode.Cancelled, Stage, "the caller cancelled");
        }
    }

    /// <summary>Whether this node is on the negative list.</summary>
    public bool IsDown(NodeRecord node)
    {
        if (_troubles.Count == 0)
            return false;
        lock (_links)
            return InTrouble(node) is not null;
    }

    /// <summary>A frame of this life of a node arrived: it is alive.</summary>
    public void Heard(string nodeId, ulong incarnation)
    {
        if (_troubles.Count == 0)
            return;
        lock (_links)
            _troubles.Remove(new Life(nodeId, incarnation));
    }

    /// <summary>Puts a node on the negative list, at its present session.</summary>
    public void Failed(NodeRecord node, MeshError error)
    {
        lock (_links)
        {
            if (_closed)
                return;
            bool again = _troubles.TryGetValue(Life.Of(node), out var trouble) && trouble.Session == node.Session;
            var pause = again ? Min(trouble.Pause * 2, LongestPause) : FirstPause;
            if (error.Code == MeshErrorCode.DeadlineExceeded)
                pause = LongestPause;
            _troubles[Life.Of(node)] = new Trouble(node.Session, _runtime.Time.GetTimestamp(), pause, error,
                error.Code == MeshErrorCode.DeadlineExceeded);
        }
    }

    /// <summary>Closes the connections to nodes, or to former lives of nodes, that are not in the view.</summary>
    public void Keep(MeshView view)
    {
        var gone = new List<PeerChannel>();
        lock (_links)
        {
            foreach (var ((life, lane), link) in _links.Where(l => !IsMember(l.Key.Life)).ToArray())
            {
                if (link.Channel is { } channel)
                    gone.Add(channel);
                if (link.Attempt is null)
                    _links.Remove((life, lane));
            }

            foreach (var life in _troubles.Keys.Where(life => !IsMember(life)).ToArray())
                _troubles.Remove(life);
        }

        foreach (var channel in gone)
            channel.Abort();

        bool IsMember(Life life) => view.Find(life.NodeId, life.Incarnation) is not null;
    }

    /// <summary>Closes every connection and makes no more.</summary>
    public void Close()
    {
        PeerChannel[] open;
        lock (_links)
        {
            _closed = true;
            open = [.. _links.Values.Select(l => l.Channel).OfType<PeerChannel>()];
        }

        foreach (var channel in open)
            channel.Abort();
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;

    /// <summary>A new link. Those of former lives that have ended are of no use: a node may have any number.</summary>
    private Link AddLink(Life life, Lane lane)
    {
        foreach (var (former, link) in _links.Where(l => l.Key.Life.NodeId == life.NodeId).ToArray())
        {
            if (former.Lane == lane && link is { Attempt: null, Channel: null or { IsOpen: false } })
                _links.Remove(former);
        }

        var added = new Link();
        _links.Add((life, lane), added);
        return added;
    }

    private Trouble? InTrouble(NodeRecord node)
    {
        if (!_troubles.TryGetValue(Life.Of(node), out var trouble))
            return null;
        bool current = trouble.Session == node.Session;
        return current && _runtime.Time.GetElapsedTime(trouble.Since) < trouble.Pause ? trouble : null;
    }

    private async Task<MeshResult<PeerChannel>> AttemptAsync(NodeRecord node, Lane lane, Link link)
    {
        var result = await DialAsync(node, lane);
        PeerChannel? orphan = null;
        lock (_links)
        {
            link.Attempt = null;
            if (result.Succeeded && _closed)
                orphan = result.Value;
            else if (result.Succeeded)
                link.Channel = result.Value;
        }

        orphan?.Abort();
        if (result.Succeeded)
            Heard(node.NodeId, node.Incarnation);
        else
            Failed(node, result.Error!);
        return result;
    }

    private async Task<MeshResult<PeerChannel>> DialAsync(NodeRecord node, Lane lane)
    {
        MeshError? last = null;
        foreach (string endpoint in EndpointsOf(node))
        {
            var dialled = await DialOneAsync(node, lane, endpoint, _hello(lane, node.NodeId));
            if (dialled.Succeeded)
                return dialled;
            last = dialled.Error;
        }

        return last ?? new MeshError(MeshErrorCode.Unavailable, Stage, $"{node.NodeId} announces no endpoint");
    }

    private IEnumerable<string> EndpointsOf(NodeRecord node)
    {
        if (node.SocketPath.Length > 0 && node.BootId == _bootId && _bootId.Length > 0)
            yield return "unix:" + node.SocketPath;
        foreach (string endpoint in node.Endpoints)
            yield return endpoint;
    }

    private async Task<MeshResult<PeerChannel>> DialOneAsync(NodeRecord node, Lane lane, string endpoint, Hello self)
    {
        IPeerConnection? connection = null;
        FrameReader? reader = null;
        try
        {
            using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(1), _runtime.Time);
            connection = await _runtime.Network.ConnectAsync(endpoint, timeout.Token);
            reader = new FrameReader(connection);
            var hello = await _handshake.OfferAsync(connection, reader, self, timeout.Token);
            if (hello.Succeeded && hello.Value.Incarnation == node.Incarnation)
            {
                var channel = new PeerChannel(connection, reader, hello.Value, _handler, _runtime)
                {
                    OnSilent = error => Failed(node, error),
                    LeaveAfter = lane == Lane.Client ? ClientLeavesAfter : PeerChannel.SilentAfter,
                    Version = Math.Min(self.WireMax, hello.Value.WireMax),
                };
                if (lane == Lane.Client)
                    connection.BringsAnswersAlone(channel.AwaitsAnswer);
                channel.Start();
                return channel;
            }

            connection.Abort();
            reader.Dispose();
            return hello.Error ?? new MeshError(MeshErrorCode.Unavailable, Stage,
                $"{node.NodeId} at {endpoint} is another life of that node than the one in the view");
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException
            or WireException)
        {
            connection?.Abort();
            reader?.Dispose();
            var code = e is OperationCanceledException ? MeshErrorCode.DeadlineExceeded : MeshErrorCode.Unavailable;
            return new MeshError(code, Stage, $"cannot reach {node.NodeId} at {endpoint}: {e.Message}");
        }
    }

    private sealed class Link
    {
        public PeerChannel? Channel { get; set; }

        public Task<MeshResult<PeerChannel>>? Attempt { get; set; }
    }

    /// <summary>One life of a node.</summary>
    private readonly record struct Life(string NodeId, ulong Incarnation)
    {
        public static Life Of(NodeRecord node) => new(node.NodeId, node.Incarnation);
    }

    private readonly record struct Trouble(long Session, long Since, TimeSpan Pause, MeshError Error, bool Silent);
}
