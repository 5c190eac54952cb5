// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>
/// Reads from holders on this host: one copy out of their memory, mapped read-only, then the check of the generation
/// word (rule A1). Writes into reservations of this process where the holder lets it. A holder whose memory cannot be
/// had is remembered, and left to the next transport. Thread-safe.
/// </summary>
internal sealed class ShmTransport : ITransport
{
    /// <summary>Copies up to this size run on the caller's thread, in bytes.</summary>
    public const long InlineLimit = 256 * 1024;

    /// <summary>
    /// So does one at a time of those up to this size, in bytes: to hand it to another thread and back costs up to a
    /// tenth of it. Beside it the thread pool must have threads left. Benchmark: "mooncake-mesh bench transfer".
    /// </summary>
    public const long SoleInlineLimit = 16 << 20;

    private const int CopyThreads = 2;
    private const int MostWaiting = 4096;
    private static readonly TimeSpan CopyThreadIdle = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);

    private readonly Dictionary<ulong, Peer> _peers = [];
    private readonly CancellationTokenSource _closing = new();
    private readonly PeerDialer _dialer;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly JobQueue<CopyJob> _copies;
    private readonly DeviceQueues? _devices;
    private int _soleInline;
    private bool _closed;

    public ShmTransport(PeerDialer dialer, DeviceQueues? devices = null)
    {
        _devices = devices;
        _dialer = dialer;
        _time = dialer.Runtime.Time;
        _log = dialer.Runtime.Log.CreateLogger("mesh.shm");
        _copies = new JobQueue<CopyJob>("mesh-copy", new JobQueueBounds(CopyThreads, MostWaiting, CopyThreadIdle),
            _time, static () => new CopyWorker());
    }

    /// <inheritdoc/>
    public string Name => "shm";

    /// <inheritdoc/>
    public long MaxBytes => long.MaxValue;

    /// <inheritdoc/>
    public bool TakesDevice(in NativeRange memory) => true;

    /// <inheritdoc/>
    public bool CanRead(NodeRecord node)
    {
        if (!_dialer.IsLocal(node) || node.Segments.Count == 0)
            return false;
        lock (_peers)
            return !_closed && !(_peers.TryGetValue(node.Incarnation, out var peer) && IsPausing(peer));
    }

    /// <inheritdoc/>
    public bool CanWrite(in ExtentWrite write)
    {
        if (write.Client == 0)
            return false;
        lock (_peers)
            return _peers.TryGetValue(write.Node.Incarnation, out var peer) && peer.Mapping?.Client == write.Client;
    }

    /// <inheritdoc/>
    public Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        if (read.Length < 0 || read.Length > destination.Length)
            return Outcomes.Stale;
        if (cancel.IsCancellationRequested)
            return Outcomes.Late;
        return TryHold(read.Node) is { } mapping
            ? ReadAsync(mapping, read, destination, timeout, cancel)
            : OpenAndReadAsync(read, destination, timeout, cancel);
    }

    /// <inheritdoc/>
    public Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel)
    {
        if (cancel.IsCancellationRequested)
            return Outcomes.Late;
        return TryHold(write.Node) is { } mapping
            ? WriteAsync(mapping, write, source, timeout, cancel)
            : Outcomes.Unreachable;
    }

    /// <summary>
    /// The memory of a node of this host, opened if need be and held for the caller, who releases it; null when it
    /// cannot be had, or not in time.
    /// </summary>
    public ValueTask<ShmMapping?> HoldAsync(NodeRecord node, TimeSpan timeout, CancellationToken cancel)
    {
        if (!CanRead(node))
            return default;
        return TryHold(node) is { } mapping ? new(mapping) : new(OpenAndHoldAsync(node, timeout, cancel));
    }

    /// <summary>Unmaps the memory of nodes, and of former lives of nodes, that are not in the view.</summary>
    public void Keep(MeshView view)
    {
        var gone = new List<ShmMapping>();
        lock (_peers)
        {
            foreach (var (incarnation, peer) in _peers)
            {
                if (view.IsMember(incarnation))
                    continue;
                _peers.Remove(incarnation);
                if (peer.Mapping is { } mapping)
                    gone.Add(mapping);
                peer.Mapping = null;
            }
        }

        // Without the lock: a device may take its time.
        foreach (var mapping in gone)
            mapping.Release();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Peer[] peers;
        lock (_peers)
        {
            if (_closed)
                return;
            _closed = true;
            peers = [.. _peers.Values];
            _peers.Clear();
        }

        await _closing.CancelAsync();
        foreach (var peer in peers)
        {
            if (peer.Attempt is { } attempt)
                await attempt;
            peer.Mapping?.Release();
        }

        await _copies.DisposeAsync();
    }

    private unsafe Task<TransferOutcome> ReadAsync(ShmMapping mapping, in ExtentRead read, NativeRange destination,
        TimeSpan timeout, CancellationToken cancel)
    {
        var place = mapping.Find(read, out var bytes, out ulong* word);
        if (place != ShmPlace.Found)
        {
            mapping.Release();
            return place == ShmPlace.Elsewhere ? Outcomes.Unreachable : Outcomes.Stale;
        }

        if (bytes.Device is null && destination.Device is null)
        {
            return RunAsync(mapping, new ShmCopy(bytes.Address, destination.Address, read.Length, read.Sums,
                (nint)word, read.Generation), timeout, cancel);
        }

        return _devices!.RunAsync(new DeviceMove(bytes, destination.Part(0, read.Length), read.Sums)
        {
            Word = (nint)word,
            Generation = read.Generation,
            Held = mapping,
        }, timeout, cancel);
    }

    private Task<TransferOutcome> RunAsync(ShmMapping mapping, in ShmCopy copy, TimeSpan timeout,
        CancellationToken cancel)
    {
        if (copy.Length < InlineLimit)
        {
            var outcome = copy.Run();
            mapping.Release();
            return Outcomes.Of(outcome);
        }

        if (copy.Length <= SoleInlineLimit && Interlocked.Exchange(ref _soleInline, 1) == 0)
        {
            var outcome = TeamCopy.Run(copy, new CallStop(_time, timeout, cancel));
            Volatile.Write(ref _soleInline, 0);
            mapping.Release();
            return Outcomes.Of(outcome);
        }

        var job = new CopyJob(mapping, copy);
        if (_copies.TryAdd(job))
            return job.EndAsync(timeout, _time, cancel);
        mapping.Release();
        return Outcomes.Unreachable;
    }

    private unsafe Task<TransferOutcome> WriteAsync(ShmMapping mapping, in ExtentWrite write, NativeRange source,
        TimeSpan timeout, CancellationToken cancel)
    {
        if (mapping.TryFindReserved(write, source.Length, out byte* to))
        {
            if (source.Device is not null)
            {
                return _devices!.RunAsync(new DeviceMove(source, new NativeRange((nint)to, source.Length), write.Sums)
                {
                    Held = mapping,
                }, timeout, cancel);
            }

            return RunAsync(mapping, new ShmCopy(source.Address, (nint)to, source.Length, write.Sums, 0, 0), timeout,
                cancel);
        }

        mapping.Release();
        return Outcomes.Unreachable;
    }

    private async Task<TransferOutcome> OpenAndReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        long start = _time.GetTimestamp();
        if (await OpenAndHoldAsync(read.Node, timeout, cancel) is not { } mapping)
        {
            return cancel.IsCancellationRequested || _time.GetElapsedTime(start) >= timeout
                ? TransferOutcome.Late
                : TransferOutcome.Unreachable;
        }

        return await ReadAsync(mapping, read, destination, _time.LeftOf(timeout, start), cancel);
    }

    private async Task<ShmMapping?> OpenAndHoldAsync(NodeRecord node, TimeSpan timeout, CancellationToken cancel)
    {
        try
        {
            await Opened(node).WaitAsync(timeout, _time, cancel);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            return null;
        }

        return TryHold(node);
    }

    private ShmMapping? TryHold(NodeRecord node)
    {
        lock (_peers)
        {
            return _peers.TryGetValue(node.Incarnation, out var peer) && peer.Mapping is { } mapping
                && mapping.TryHold() ? mapping : null;
        }
    }

    /// <summary>Ends when the one attempt to map a node's memory has ended.</summary>
    private Task Opened(NodeRecord node)
    {
        lock (_peers)
        {
            if (_closed || !_dialer.IsLocal(node))
                return Task.CompletedTask;
            if (!_peers.TryGetValue(node.Incarnation, out var peer))
                _peers.Add(node.Incarnation, peer = new Peer());
            if (peer.Mapping is not null || IsPausing(peer))
                return Task.CompletedTask;
            return peer.Attempt ??= Task.Factory.StartNew(() => Open(peer, node), CancellationToken.None,
                TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }
    }

    private void Open(Peer peer, NodeRecord node)
    {
        var opened = ShmOpener.Open(_dialer, node, _closing.Token);
        bool known;
        bool first;
        lock (_peers)
        {
            known = _peers.TryGetValue(node.Incarnation, out var present) && present == peer && !_closed;
            first = peer.Pause == TimeSpan.Zero;
            peer.Attempt = null;
            if (opened.Succeeded && known)
            {
                peer.Mapping = opened.Value;
                peer.Pause = TimeSpan.Zero;
            }
            else if (!opened.Succeeded)
            {
                peer.Pause = first ? FirstPause : peer.Pause * 2 < LongestPause ? peer.Pause * 2 : LongestPause;
                peer.FailedAt = _time.GetTimestamp();
            }
        }

        if (!opened.Succeeded && first)
            _log.LogWarning("no_shared_memory node={Node} reason={Reason}", node.NodeId, opened.Error!.Message);
        else if (opened.Succeeded && known)
            _ = WatchAsync(peer, opened.Value);
        else if (opened.Succeeded)
            opened.Value.Release();
    }

    /// <summary>Waits for the end of the connection, which the holder's death brings, and unmaps then.</summary>
    private async Task WatchAsync(Peer peer, ShmMapping mapping)
    {
        try
        {
            await mapping.Connection.ReceiveAsync(new byte[1], CancellationToken.None);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            _log.LogDebug("shm_connection_ended reason={Reason}", e.Message);
        }

        lock (_peers)
        {
            if (_closed || peer.Mapping != mapping)
                return;
            peer.Mapping = null;
        }

        mapping.Release();
    }

    private bool IsPausing(Peer peer) =>
        peer.Mapping is null && peer.Pause > TimeSpan.Zero && _time.GetElapsedTime(peer.FailedAt) < peer.Pause;

    private sealed class Peer
    {
        public ShmMapping? Mapping { get; set; }

        public Task? Attempt { get; set; }

        public TimeSpan Pause { get; set; }

        public long FailedAt { get; set; }
    }
}
