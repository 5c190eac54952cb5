// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Membership;

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

    private readonly Dictionary<ulong, JobQueue<TcpJob>> _peers = [];
    private readonly List<JobQueue<TcpJob>> _retired = [];
    private readonly PeerDialer _dialer;
    private readonly JobQueueBounds _bounds;
    private bool _closed;

    /// <param name="dialer">Opens connections.</param>
    /// <param name="connections">Data connections a peer, 1 to 4.</param>
    public TcpTransport(PeerDialer dialer, int connections = 2)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(connections, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(connections, MostConnections);
        _dialer = dialer;
        _bounds = new JobQueueBounds(connections, MostWaiting, IdleLimit);
    }

    /// <inheritdoc/>
    public string Name => "tcp";

    /// <inheritdoc/>
    public long MaxBytes => long.MaxValue;

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
        var request = new DataRequest(DataOperation.Read, read.SegmentId, 0, read.Offset, read.Generation, read.Length,
            read.Skip);
        var job = new TcpJob(request, destination with { Length = read.Length }, read.Sums);
        return RunAsync(read.Node, job, timeout, cancel);
    }

    /// <inheritdoc/>
    public Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel)
    {
        var request = new DataRequest(DataOperation.Write, 0, 0, 0, write.ReservationId, source.Length);
        return RunAsync(write.Node, new TcpJob(request, source, write.Sums), timeout, cancel);
    }

    /// <summary>Lets go of peers, and former lives of peers, that are not in the view.</summary>
    public void Keep(MeshView view)
    {
        lock (_peers)
        {
            foreach (var (incarnation, queue) in _peers)
            {
                if (view.IsMember(incarnation))
                    continue;
                queue.Retire();
                _peers.Remove(incarnation);
                _retired.Add(queue);
            }

            _retired.RemoveAll(static queue => queue.HasEnded);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        JobQueue<TcpJob>[] queues;
        lock (_peers)
        {
            _closed = true;
            queues = [.. _peers.Values, .. _retired];
            _peers.Clear();
            _retired.Clear();
        }

        foreach (var queue in queues)
            await queue.DisposeAsync();
    }

    private Task<TransferOutcome> RunAsync(NodeRecord node, TcpJob job, TimeSpan timeout, CancellationToken cancel)
    {
        if (cancel.IsCancellationRequested)
            return Outcomes.Late;
        return QueueOf(node) is { } queue && queue.TryAdd(job)
            ? job.EndAsync(timeout, _dialer.Runtime.Time, cancel)
            : Outcomes.Unreachable;
    }

    private JobQueue<TcpJob>? QueueOf(NodeRecord node)
    {
        lock (_peers)
        {
            if (_closed)
                return null;
            return _peers.TryGetValue(node.Incarnation, out var queue) ? queue : NewQueue(node);
        }
    }

    private JobQueue<TcpJob> NewQueue(NodeRecord node)
    {
        var queue = new JobQueue<TcpJob>("mesh-tcp", _bounds, _dialer.Runtime.Time,
            () => new TcpWorker(_dialer, node));
        _peers.Add(node.Incarnation, queue);
        return queue;
    }
}
