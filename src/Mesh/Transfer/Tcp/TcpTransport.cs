// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// Bulk bytes over sockets: a few data connections to each holder, made on demand, each with a thread of its own that
/// moves bytes straight between the socket and the caller's memory. Thread-safe.
/// </summary>
internal sealed class TcpTransport : ITransport
{
    /// <summary>Most data connections to one peer.</summary>
    public const int MostConnections = 4;

    /// <summary>Most transfers that wait for one peer's connections.</summary>
    public const int MostWaiting = 1024;

    /// <summary>How long a connection lies idle before it is closed; the holder waits longer.</summary>
    public static readonly TimeSpan IdleLimit = TimeSpan.FromSeconds(60);

    private readonly Dictionary<ulong, Peer> _peers = [];
    private readonly List<Peer> _retired = [];
    private readonly IReadOnlyList<string> _rails;
    private readonly PeerDialer _dialer;
    private readonly JobQueueBounds _bounds;
    private bool _closed;

    /// <param name="dialer">Opens connections.</param>
    /// <param name="connections">Data connections a peer, 1 to 4.</param>
    /// <param name="rails">Addresses of this host, one a network card, to read large objects by; null: any.</param>
    public TcpTransport(PeerDialer dialer, int connections = 2, IReadOnlyList<string>? rails = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(connections, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(connections, MostConnections);
        _dialer = dialer;
        _rails = rails ?? [];
        RailCounters = new RailCounters(_rails);
        _bounds = new JobQueueBounds(connections, MostWaiting, IdleLimit);
    }

    /// <summary>What the rails of all peers have done.</summary>
    public RailCounters RailCounters { get; }

    /// <inheritdoc/>
    public string Name => "tcp";

    /// <inheritdoc/>
    public long MaxBytes => long.MaxValue;

    /// <inheritdoc/>
    public bool TakesDevice(in NativeRange memory) => true;

    /// <inheritdoc/>
    public bool CanRead(NodeRecord node) => true;

    /// <inheritdoc/>
    public bool CanWrite(in ExtentWrite write) => true;

    /// <inheritdoc/>
    public Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        if (read.Length < 0 || read.Length > destination.Length)
            return Outcomes.Stale;
        if (cancel.IsCancellationRequested)
            return Outcomes.Late;
        if (PeerOf(read.Node) is not { } peer)
            return Outcomes.Unreachable;
        var memory = destination.Part(0, read.Length);
        var device = memory.Device is { } ours ? new Waited(ours.Location, IsOurs: true)
            : read.Node.DeviceOf(read.SegmentId) is { } theirs ? new Waited(theirs, IsOurs: false)
            : (Waited?)null;
        if (device is null && read.Length >= RailSet.SmallestRead && peer.Rails is { } rails && rails.TryEnter())
            return rails.ReadAsync(read, destination, timeout, cancel);
        var request = new DataRequest(DataOperation.Read, read.SegmentId, 0, read.Offset, read.Generation, read.Length,
            read.Skip);
        return RunAsync(peer, device,
            new TcpJob(request, memory, read.Sums, read.Patience) { Limit = new MoveLimit(Time, timeout) }, timeout,
            cancel);
    }

    /// <inheritdoc/>
    public Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel)
    {
        if (cancel.IsCancellationRequested)
            return Outcomes.Late;
        var request = new DataRequest(DataOperation.Write, 0, 0, 0, write.ReservationId, source.Length);
        return PeerOf(write.Node) is { } peer
            ? RunAsync(peer, source.Device is { } ours ? new Waited(ours.Location, IsOurs: true) : null,
                new TcpJob(request, source, write.Sums) { Limit = new MoveLimit(Time, timeout) }, timeout, cancel)
            : Outcomes.Unreachable;
    }

    /// <summary>Lets go of peers, and former lives of peers, that are not in the view.</summary>
    public void Keep(MeshView view)
    {
        lock (_peers)
        {
            foreach (var (incarnation, peer) in _peers)
            {
                if (view.IsMember(incarnation))
                    continue;
                peer.Retire();
                _peers.Remove(incarnation);
                _retired.Add(peer);
            }

            _retired.RemoveAll(static peer => peer.HasEnded);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Peer[] peers;
        lock (_peers)
        {
            _closed = true;
            peers = [.. _peers.Values, .. _retired];
            _peers.Clear();
            _retired.Clear();
        }

        foreach (var peer in peers)
        {
            await peer.DisposeAsync();
        }
    }

    private TimeProvider Time => _dialer.Runtime.Time;

    private Task<TransferOutcome> RunAsync(Peer peer, Waited? device, TcpJob job, TimeSpan timeout,
        CancellationToken cancel) =>
        peer.QueueOf(device).TryAdd(job)
            ? job.EndAsync(timeout, Time, cancel, job.Patience)
            : Outcomes.Unreachable;

    private Peer? PeerOf(NodeRecord node)
    {
        lock (_peers)
        {
            if (_closed)
                return null;
            return _peers.TryGetValue(node.Incarnation, out var peer) ? peer : NewPeer(node);
        }
    }

    private Peer NewPeer(NodeRecord node)
    {
        JobQueue<TcpJob> NewQueue() => new("mesh-tcp", _bounds, Time, () => new TcpWorker(_dialer, node));
        var queue = NewQueue();
        var peer = new Peer(queue, _dialer.IsLocal(node) ? null : RailsTo(node, queue, Time), NewQueue);
        _peers.Add(node.Incarnation, peer);
        return peer;
    }

    private RailSet? RailsTo(NodeRecord node, JobQueue<TcpJob> endpoint, TimeProvider time)
    {
        var pairs = RailSet.Pairs(_rails, node);
        if (pairs.Length == 0)
            return null;
        int connections = RailSet.ConnectionsOf(pairs.Length);
        var bounds = new JobQueueBounds(connections, MostWaiting, IdleLimit);
        var queues = Array.ConvertAll(pairs, rail => (
            new JobQueue<TcpJob>("mesh-rail", bounds, time, () => new TcpWorker(_dialer, node, rail.Pair)), rail.Card));
        return new RailSet(queues, endpoint, connections, RailCounters, time);
    }

    /// <summary>A device that a transfer may have to wait for: one of ours, or of the peer's.</summary>
    private readonly record struct Waited(string Location, bool IsOurs);

    /// <summary>
    /// What leads to one peer. What waits for a device has connections of its own: nobody else waits for it.
    /// </summary>
    private sealed class Peer(JobQueue<TcpJob> queue, RailSet? rails, Func<JobQueue<TcpJob>> newQueue)
    {
        private readonly Dictionary<Waited, JobQueue<TcpJob>> _devices = [];

        public RailSet? Rails => rails;

        public bool HasEnded
        {
            get
            {
                bool ended = queue.HasEnded && rails is null or { HasEnded: true };
                foreach (var device in Devices())
                    ended &= device.HasEnded;
                return ended;
            }
        }

        public JobQueue<TcpJob> QueueOf(Waited? waited)
        {
            if (waited is not { } device)
                return queue;
            lock (_devices)
            {
                if (!_devices.TryGetValue(device, out var own))
                    _devices.Add(device, own = newQueue());
                return own;
            }
        }

        public void Retire()
        {
            queue.Retire();
            rails?.Retire();
            foreach (var device in Devices())
                device.Retire();
        }

        public async ValueTask DisposeAsync()
        {
            await queue.DisposeAsync();
            if (rails is not null)
                await rails.DisposeAsync();
            foreach (var device in Devices())
                await device.DisposeAsync();
        }

        private JobQueue<TcpJob>[] Devices()
        {
            lock (_devices)
                return [.. _devices.Values];
        }
    }
}
