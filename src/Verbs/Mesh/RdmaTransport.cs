// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Memory;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>
/// Reads holders' memory with the cards, and has holders read ours with theirs: no byte passes a processor, here or
/// there. Memory that is registered is used as it is; other memory is registered for the time of one call. Thread-safe.
/// </summary>
internal sealed class RdmaTransport : IVerbsTransport
{
    private static readonly TimeSpan OpenTimeout = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Task<MeshResult<RdmaTarget>>> _targets = new(StringComparer.Ordinal);
    private readonly Dictionary<int, LocalMemory> _devices = [];
    private readonly RdmaEngine _engine;
    private readonly WordCells _words;
    private readonly MeshRuntime _runtime;
    private readonly PeerLinks _links;
    private readonly ILogger _log;
    private readonly UnreachedNodes _unreached;
    private readonly CallerRegions _callers;
    private readonly DeviceQueues? _queues;
    private int _disposed;

    private RdmaTransport(RdmaEngine engine, WordCells words, VerbsParts parts)
    {
        (_links, _runtime, _queues) = (parts.Links, parts.Runtime, parts.Devices);
        _engine = engine;
        _words = words;
        _log = _runtime.Log.CreateLogger("mesh.verbs");
        _unreached = new UnreachedNodes(_runtime.Time, _log);
        _callers = new CallerRegions(engine, _log);
    }

    /// <inheritdoc/>
    public string Name => "rdma";

    /// <inheritdoc/>
    public long MaxBytes => long.MaxValue;

    /// <inheritdoc/>
    public IEnumerable<CardStatus> Cards() => _engine.Counts();

    /// <inheritdoc/>
    public long Fallbacks => _unreached.Transfers;

    /// <summary>Opens the cards.</summary>
    /// <param name="options">What the user said of them.</param>
    /// <param name="parts">Connections, clock and log.</param>
    /// <returns>As <see cref="RdmaEngine.Open"/>; System when a card refuses to register memory.</returns>
    public static async Task<MeshResult<IVerbsTransport>> OpenAsync(RdmaOptions options, VerbsParts parts)
    {
        var engine = RdmaEngine.Open(options, parts.Runtime);
        if (!engine.Succeeded)
            return engine.Error!;
        var words = await WordCells.CreateAsync(engine.Value);
        if (words.Succeeded)
            return new RdmaTransport(engine.Value, words.Value, parts);
        await engine.Value.DisposeAsync();
        return words.Error!;
    }

    /// <inheritdoc/>
    public async Task<MeshResult<IVerbsCalls>> ServeAsync(ObjectStore store, IReservedMemory reserved)
    {
        var regions = new List<LocalMemory>();
        foreach (var segment in store.Segments)
        {
            var bytes = segment.Memory.Host is { } host
                // Only the holder writes into its segment (rule A5): its own cards may, a peer's may read.
                ? await _engine.RegisterAsync(RangeOf(host), MemoryAccess.LocalWrite | MemoryAccess.RemoteRead)
                : await RegisterDeviceAsync(segment);
            if (!bytes.Succeeded)
                return bytes.Error!;
            regions.Add(bytes.Value);
            var words = await _engine.RegisterAsync(RangeOf(segment.Generations.Memory), MemoryAccess.RemoteRead);
            if (!words.Succeeded)
                return words.Error!;
            regions.Add(words.Value);
        }

        return new RdmaServer(_engine, regions, reserved, _log);
    }

    /// <inheritdoc/>
    public bool Serves(Segment segment)
    {
        lock (_gate)
            return segment.Memory.Host is not null || _devices.ContainsKey(segment.Id);
    }

    /// <inheritdoc/>
    public void Withdraw(Segment segment)
    {
        LocalMemory? memory;
        lock (_gate)
            _devices.Remove(segment.Id, out memory);
        if (memory is not null)
            _engine.Release(memory);
    }

    /// <inheritdoc/>
    public Task RegisterAsync(NativeRange memory) => _callers.AddAsync(memory);

    /// <inheritdoc/>
    public void Unregister(nint address) => _callers.Remove(address);

    /// <summary>
    /// What was registered once; to register it for one call takes longer than to go through host memory. Nor do cards
    /// wait for a stream.
    /// </summary>
    public bool TakesDevice(in NativeRange memory) => _queues is not null && memory.Length > 0
        && memory.Device is { Ranges.Length: 1, Order.Stream: 0 }
        && _engine.Find(AtCards(memory), CallerRegions.Access) is not null;

    /// <inheritdoc/>
    public bool CanRead(NodeRecord node) => Reaches(node);

    /// <inheritdoc/>
    public bool CanWrite(in ExtentWrite write) => write.Client == 0 && Reaches(write.Node);

    /// <inheritdoc/>
    public async Task<TransferOutcome> ReadAsync(ExtentRead read, NativeRange destination, TimeSpan timeout,
        CancellationToken cancel)
    {
        // No fault of the cards: they are not always offered a device's memory.
        if (!Reaches(read.Node, read.SegmentId))
            return TransferOutcome.Unreachable;
        long start = _runtime.Time.GetTimestamp();
        var device = destination.Device;
        // No processor sees what lands in a device.
        read.Sums?.AreMissing = device is not null;
        var (outcome, reason) = await TryReadAsync(device is null ? read : read with { Sums = null },
            AtCards(destination), timeout, cancel);
        _unreached.Note(read.Node.NodeId, outcome, reason);
        return device is null || outcome != TransferOutcome.Done ? outcome
            : await new DeviceFlush(_runtime.Time, _log).RunAsync(device,
                _runtime.Time.LeftOf(timeout, start));
    }

    /// <inheritdoc/>
    public async Task<TransferOutcome> WriteAsync(ExtentWrite write, NativeRange source, TimeSpan timeout,
        CancellationToken cancel)
    {
        // A device's bytes are read once more, by its driver, while the holder's cards read them.
        var summed = source.Device is null || write.Sums is not { } sums ? Outcomes.Of(TransferOutcome.Done)
            : _queues!.RunAsync(new DeviceMove(source, default, sums), timeout, cancel);
        var (outcome, reason) = await TryWriteAsync(write, AtCards(source), timeout, cancel);
        _unreached.Note(write.Node.NodeId, outcome, reason);
        var sumsEnded = await summed;
        if (outcome != TransferOutcome.Done)
            return outcome;
        if (source.Device is null)
            SumUp(write.Sums, source);
        return sumsEnded;
    }

    /// <summary>Memory of a caller as cards name it: nothing here follows the address of a device.</summary>
    private static NativeRange AtCards(in NativeRange memory) =>
        memory.Device is { } device ? new NativeRange(device.Ranges[0].Address, memory.Length) : memory;

    private async Task<(TransferOutcome Outcome, string? Reason)> TryReadAsync(ExtentRead read,
        NativeRange destination, TimeSpan timeout, CancellationToken cancel)
    {
        long start = _runtime.Time.GetTimestamp();
        var (target, failed, why) = await TargetAsync(read.Node, timeout, cancel);
        if (target is null)
            return (failed, why);
        var wanted = destination with { Length = Math.Min(destination.Length, read.Length) };
        var memory = await MemoryAsync(wanted, MemoryAccess.LocalWrite);
        if (!memory.Succeeded)
            return (TransferOutcome.Unreachable, memory.Error!.Message);
        var link = new RdmaRead(_engine, target, memory.Value.Memory, _words);
        try
        {
            var left = _runtime.Time.LeftOf(timeout, start);
            return (await new OneSidedRead(link, read, destination, left, _runtime, cancel).RunAsync(), null);
        }
        finally
        {
            link.End();
            Release(memory.Value);
        }
    }

    private async Task<(TransferOutcome Outcome, string? Reason)> TryWriteAsync(ExtentWrite write, NativeRange source,
        TimeSpan timeout, CancellationToken cancel)
    {
        long start = _runtime.Time.GetTimestamp();
        var (target, failed, why) = await TargetAsync(write.Node, timeout, cancel);
        if (target is null)
            return (failed, why);
        var memory = await MemoryAsync(source, MemoryAccess.RemoteRead);
        if (!memory.Succeeded)
            return (TransferOutcome.Unreachable, memory.Error!.Message);
        try
        {
            var pull = new RdmaPull(_engine, target, memory.Value.Memory, source);
            return (await pull.RunAsync(write, _runtime.Time.LeftOf(timeout, start), cancel), null);
        }
        finally
        {
            Release(memory.Value);
        }
    }

    /// <summary>Lets go of nodes, and of former lives of nodes, that are not in the view.</summary>
    public void Keep(MeshView view)
    {
        lock (_gate)
        {
            foreach (string nodeId in new List<string>(_targets.Keys))
            {
                if (view.Find(nodeId) is not null)
                    continue;
                _targets.Remove(nodeId);
                _unreached.Forget(nodeId);
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        await _engine.DisposeAsync();
        _words.Dispose();
    }

    /// <summary>
    /// Offers a device's memory to the cards. Where that cannot be, it stays to other transports, and others' memory
    /// takes its number.
    /// </summary>
    private async Task<MeshResult<LocalMemory>> RegisterDeviceAsync(Segment segment)
    {
        var device = segment.Memory.OnDevice(0, segment.Length)!;
        var access = MemoryAccess.LocalWrite | MemoryAccess.RemoteRead;
        if (device.Memory.FlushWrites(device.Location) is { } cannotFlush)
        {
            access = MemoryAccess.RemoteRead;
            Left("rdma_writes_no_device", segment, cannotFlush);
        }

        var registered = await _engine.RegisterAsync(device, access);
        if (registered.Succeeded)
        {
            lock (_gate)
                _devices.Add(segment.Id, registered.Value);
            return registered;
        }

        Left("rdma_reaches_no_device", segment, registered.Error!);
        return _words.Memory;
    }

    private void Left(string what, Segment segment, MeshError reason) => _log.LogWarning(
        "{What} segment={Segment} location={Location} reason={Reason}", what, segment.Id, segment.Options.Location,
        reason.Message);

    private static unsafe NativeRange RangeOf(MemoryBlock block) => new((nint)block.Pointer, block.Length);

    private static unsafe void SumUp(SliceSums? sums, NativeRange source) => sums?.Take((byte*)source.Address);

    private static bool Reaches(NodeRecord node, int? segmentId = null)
    {
        foreach (var segment in node.Segments)
        {
            if (segmentId is { } wanted && segment.Id != wanted)
                continue;
            foreach (string transport in segment.Transports)
            {
                if (transport == "verbs")
                    return true;
            }
        }

        return false;
    }

    /// <summary>Registered memory that holds a range; of this call alone when there was none.</summary>
    private async ValueTask<MeshResult<Taken>> MemoryAsync(NativeRange range, MemoryAccess access)
    {
        // Of nothing nothing is read: any memory will do.
        if (range.Length <= 0)
            return new Taken(_words.Memory, false);
        if (_engine.Find(range, access) is { } known)
            return new Taken(known, false);
        var made = await _engine.RegisterAsync(range, access, isShared: false);
        return made.Succeeded ? new Taken(made.Value, true) : made.Error!;
    }

    private void Release(in Taken taken)
    {
        if (taken.IsOurs)
            _engine.Release(taken.Memory);
    }

    /// <summary>The node as a target, or how the transfer ends without it.</summary>
    private async Task<(RdmaTarget? Target, TransferOutcome Failed, string? Reason)> TargetAsync(NodeRecord node,
        TimeSpan timeout, CancellationToken cancel)
    {
        if (cancel.IsCancellationRequested)
            return (null, TransferOutcome.Late, null);
        Task<MeshResult<RdmaTarget>> opening;
        lock (_gate)
        {
            bool known = _targets.TryGetValue(node.NodeId, out var present);
            bool usable = known && (!present!.IsCompleted || (present.IsCompletedSuccessfully
                && present.Result is { Succeeded: true, Value.IsOpen: true } open
                && open.Value.Channel.Remote.Incarnation == node.Incarnation));
            opening = usable ? present! : Task.Run(() => RdmaTarget.OpenAsync(_engine, _links, node, _log,
                OpenTimeout, CancellationToken.None));
            _targets[node.NodeId] = opening;
        }

        try
        {
            if (!await opening.EndsWithinAsync(timeout, _runtime.Time, cancel))
                return (null, TransferOutcome.Late, null);
            // That the attempt took too long does not say that the caller's time is over: others may be in time.
            var opened = await opening;
            return opened.Succeeded ? (opened.Value, default, null)
                : (null, TransferOutcome.Unreachable, opened.Error!.Message);
        }
        catch (OperationCanceledException)
        {
            return (null, TransferOutcome.Late, null);
        }
    }

    private readonly record struct Taken(LocalMemory Memory, bool IsOurs);
}
