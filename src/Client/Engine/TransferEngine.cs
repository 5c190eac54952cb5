// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Tcp;
using Mooncake.Mesh.Transfer.Topology;
using Mooncake.Mesh.Verbs;
using Mooncake.Mesh.Verbs.Engine;

namespace Mooncake.Mesh.Client.Engine;

/// <summary>
/// Moves bytes between registered memory of this process and of others: by shared memory, by process_vm_readv and
/// process_vm_writev, by RDMA over all cards at once, or by tcp, as the two sides can. Every call may come from any
/// thread, at any time; none blocks longer than the time-outs of <see cref="TransferEngineOptions"/>. Once a task's
/// state is final, nothing of the caller's memory is read or written for it. The model, names and numbers are those of
/// Mooncake's Transfer Engine.
/// </summary>
public sealed class TransferEngine : IDisposable
{
    /// <summary>The segment of this engine itself.</summary>
    public const int LocalSegment = 0;

    private readonly EngineCore _core;

    private TransferEngine(EngineCore core) => _core = core;

    /// <summary>"ip:port", or "[v6]:port": what peers open in P2PHANDSHAKE mode.</summary>
    public string LocalAddress => _core.Address;

    /// <summary>The name that peers open: with etcd what was announced, else <see cref="LocalAddress"/>.</summary>
    public string SegmentName => _core.Name;

    /// <summary>The port it listens on.</summary>
    public int Port => _core.Port;

    /// <summary>Starts an engine: it listens and, with etcd, is announced.</summary>
    /// <returns>
    /// The engine; InvalidArgument naming the option; Socket for a port that is in use; Dns; Metadata when etcd cannot
    /// be reached or another living engine has the name; NotImplemented for other kinds of metadata; DeviceNotFound
    /// where cards alone are allowed and there are none.
    /// </returns>
    public static TransferResult<TransferEngine> Create(TransferEngineOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var settings = options.Check();
        if (!settings.Succeeded)
            return settings.Error!;
        var runtime = new MeshRuntime { Network = new SocketNetwork(), Log = options.Log, Devices = options.Devices };
        var registry = options.Registry(runtime);
        if (!registry.Succeeded)
            return registry.Error!;
        var core = EngineCore.Start(settings.Value, runtime, registry.Value,
            topology => EngineCards.Open(options.Rdma with { Topology = topology ?? options.Rdma.Topology }, runtime));
        return core.Succeeded ? new TransferEngine(core.Value) : core.Error!;
    }

    /// <summary>
    /// Allows a transport by its name in Mooncake: "tcp", "shm", "cma", "rdma", or "nvlink_intra" and the like. What is
    /// registered by then is reached by cards too.
    /// </summary>
    /// <param name="protocol">The name.</param>
    /// <param name="topology">
    /// Of "rdma": which devices serve which memory (<see cref="RdmaOptions.Topology"/>); null: as the options say.
    /// </param>
    /// <returns>
    /// Null; of "rdma" DeviceNotFound without a card, InvalidArgument for devices or a topology that cannot be, Memory
    /// when a card refuses what is registered; NotImplemented for a transport that is not offered.
    /// </returns>
    public TransferError? InstallTransport(string protocol, string? topology = null)
    {
        if (_core.Unusable() is { } unusable)
            return unusable;
        return NamedTransport(protocol) is { } transport
            ? _core.Allow(transport, topology)
            : new TransferError(TransferErrorCode.NotImplemented,
                $"transport '{protocol}' is not offered by the engine; rdma, tcp, cma and shm are");
    }

    /// <summary>No longer uses a transport; transfers under way by it end as they end.</summary>
    /// <returns>Null; InvalidArgument for one that is not in use.</returns>
    public TransferError? UninstallTransport(string protocol)
    {
        if (_core.Unusable() is { } unusable)
            return unusable;
        return NamedTransport(protocol) is { } transport && _core.Forbid(transport)
            ? null
            : new TransferError(TransferErrorCode.InvalidArgument, $"transport '{protocol}' is not in use");
    }

    /// <summary>Registers memory, which must stay mapped until it is unregistered.</summary>
    /// <param name="address">First byte.</param>
    /// <param name="length">Length in bytes, from 1.</param>
    /// <param name="location">
    /// "cpu:N", "cuda:N", or "*": found out. Memory of a GPU (<see cref="TransferEngineOptions.Devices"/>) is of one
    /// allocation.
    /// </param>
    /// <param name="remoteAccessible">Whether peers may read and write it.</param>
    /// <returns>
    /// Null; InvalidArgument for an empty or wrapping range, no location, or one that the driver contradicts;
    /// DeviceNotFound for a GPU that is not there, or not begun by this process; AddressOverlapped; TooManyRequests;
    /// Memory when a card refuses it, most often as so much may not be locked.
    /// </returns>
    public TransferError? Register(nint address, ulong length, string location = "*", bool remoteAccessible = true) =>
        _core.Unusable() ?? _core.Memory.Register((ulong)address, length, location, remoteAccessible);

    /// <summary>Registers all of some ranges for peers, or none of them.</summary>
    /// <returns>As <see cref="Register(nint, ulong, string, bool)"/>, of the first range that is refused.</returns>
    public TransferError? Register(ReadOnlySpan<BufferEntry> buffers, string location = "*") =>
        _core.Unusable() ?? _core.Memory.Register(buffers, location);

    /// <summary>
    /// Ends the registration that begins at an address. When it returns null, no transfer reads or writes the memory
    /// any more: those under way are given a second, then broken.
    /// </summary>
    /// <returns>
    /// Null; AddressNotRegistered; BatchBusy when a process of this host stands still in the midst of a copy: the
    /// memory stays registered, for this call to be repeated.
    /// </returns>
    public TransferError? Unregister(nint address) =>
        _core.Unusable() ?? _core.Memory.Unregister((ulong)address);

    /// <summary>Ends several registrations; goes on after one that fails.</summary>
    /// <returns>The first failure, or null.</returns>
    public TransferError? Unregister(ReadOnlySpan<nint> addresses)
    {
        TransferError? first = null;
        foreach (nint address in addresses)
            first = Unregister(address) is { } error && first is null ? error : first;
        return first;
    }

    /// <summary>
    /// Memory of the engine's own allocator: zeroed, registered, and mapped by peers on this host, so that transfers
    /// with them are copies.
    /// </summary>
    /// <param name="length">Length in bytes, from 1.</param>
    /// <returns>The first byte, on a page of its own; InvalidArgument; Memory.</returns>
    public TransferResult<nint> AllocateManaged(ulong length) =>
        _core.Unusable() is { } unusable ? unusable : _core.Memory.Allocate(length);

    /// <summary>Gives such memory back, as <see cref="Unregister(nint)"/> does with registered memory.</summary>
    /// <param name="address">As it was allocated.</param>
    /// <param name="length">As it was asked for.</param>
    /// <returns>Null; InvalidArgument for another length; AddressNotRegistered; BatchBusy.</returns>
    public TransferError? FreeManaged(nint address, ulong length) =>
        _core.Unusable() ?? _core.Memory.Free((ulong)address, length);

    /// <summary>
    /// Opens a segment and learns which process it is: opened again, after the peer was started anew, it leads to the
    /// new one, under the same id. While the process of an open segment is seen to live this asks nobody.
    /// </summary>
    /// <param name="name">host:port, or with etcd the announced name; this engine's own name is 0.</param>
    /// <returns>The id, from 1; InvalidArgument; Dns; Socket; RejectHandshake; Metadata; Endpoint.</returns>
    public TransferResult<int> OpenSegment(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return _core.Unusable() is { } unusable ? unusable : _core.Open(name, ask: false);
    }

    /// <summary>As <see cref="OpenSegment"/>, but asks the peer in any case.</summary>
    public TransferResult<int> OpenSegmentNoCache(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return _core.Unusable() is { } unusable ? unusable : _core.Open(name, ask: true);
    }

    /// <summary>
    /// Closes a segment that was opened as often. Its connections end when nobody has it open; later requests are
    /// refused.
    /// </summary>
    /// <returns>Null; InvalidArgument for no open segment.</returns>
    public TransferError? CloseSegment(int id) =>
        _core.Unusable() ?? _core.Close(id);

    /// <summary>Learns anew which process each open segment is; one that cannot be reached stays as it is.</summary>
    public TransferError? SyncSegmentCache()
    {
        if (_core.Unusable() is { } unusable)
            return unusable;
        _core.LearnAll();
        return null;
    }

    /// <summary>Withdraws this engine's own name; open connections stay.</summary>
    /// <returns>Null; InvalidArgument for a name that is not its own.</returns>
    public TransferError? RemoveLocalSegment(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return _core.Unusable() ?? _core.Withdraw(name);
    }

    /// <summary>Where the first registered memory of an open segment begins, as an address in its process.</summary>
    /// <returns>The address; AddressNotRegistered when there is none; as for <see cref="OpenSegment"/>.</returns>
    public TransferResult<ulong> GetFirstBufferAddress(int id) =>
        _core.Unusable() is { } unusable ? unusable : _core.FirstAddress(id);

    /// <summary>Makes a batch that takes up to <paramref name="size"/> requests.</summary>
    /// <returns>
    /// The batch, never 0 nor all ones; InvalidArgument for no size from 1 to 65,536; TooManyRequests.
    /// </returns>
    public TransferResult<ulong> AllocateBatch(int size) =>
        _core.Unusable() is { } unusable ? unusable : _core.Transfers.Allocate(size);

    /// <summary>
    /// Starts requests: all of them or, on an error, none. They are numbered as the batch's tasks, from 0 on. Small
    /// requests to this host may be done when it returns.
    /// </summary>
    /// <returns>
    /// Null; InvalidArgument for no such batch or segment, or a range that wraps; TooManyRequests when the batch has
    /// no room for them; AddressNotRegistered for a source that is not.
    /// </returns>
    public TransferError? Submit(ulong batch, ReadOnlySpan<TransferRequest> requests) =>
        _core.Unusable() ?? _core.Transfers.Submit(batch, requests, notify: null);

    /// <summary>
    /// As <see cref="Submit"/>; once all of the requests are completed the target of the first is told. The last task
    /// to end is completed when the target has the message.
    /// </summary>
    public TransferError? SubmitWithNotify(ulong batch, ReadOnlySpan<TransferRequest> requests,
        TransferNotify notify)
    {
        ArgumentNullException.ThrowIfNull(notify);
        return _core.Unusable() ?? _core.Transfers.Submit(batch, requests, notify);
    }

    /// <summary>How a task stands.</summary>
    /// <returns>The status; InvalidArgument for no such batch or task.</returns>
    public TransferResult<TransferStatus> GetStatus(ulong batch, int task)
    {
        if (_core.Transfers.Find(batch) is not { } found)
            return NoBatch(batch);
        return task >= 0 && task < found.Count ? found.StatusOf(task) : NoTask(batch, task);
    }

    /// <summary>Why a task has not been completed, for people; empty: it has, or it is not over.</summary>
    /// <returns>The text; InvalidArgument for no such batch or task.</returns>
    public TransferResult<string> WhyFailed(ulong batch, int task)
    {
        if (_core.Transfers.Find(batch) is not { } found)
            return NoBatch(batch);
        if (task < 0 || task >= found.Count)
            return NoTask(batch, task);
        return found.FailureOf(task) is { } failure ? FailureTexts.Of(failure) : "";
    }

    /// <summary>How the tasks of a batch stand together: pending, or the worst of their final states.</summary>
    /// <returns>The status; InvalidArgument for no such batch.</returns>
    public TransferResult<TransferStatus> GetBatchStatus(ulong batch) =>
        _core.Transfers.Find(batch) is { } found ? found.Status() : NoBatch(batch);

    /// <summary>Waits until all tasks of a batch are final, or until the time is over.</summary>
    /// <returns>As <see cref="GetBatchStatus"/>.</returns>
    public TransferResult<TransferStatus> Wait(ulong batch, TimeSpan limit)
    {
        if (_core.Transfers.Find(batch) is not { } found)
            return NoBatch(batch);
        found.Wait(limit, TimeProvider.System);
        return found.Status();
    }

    /// <summary>Ends when all tasks of a batch are final.</summary>
    /// <returns>As <see cref="GetBatchStatus"/>.</returns>
    public async Task<TransferResult<TransferStatus>> WhenEndedAsync(ulong batch)
    {
        if (_core.Transfers.Find(batch) is not { } found)
            return NoBatch(batch);
        await found.WhenOver();
        return found.Status();
    }

    /// <summary>Forgets a batch.</summary>
    /// <returns>Null; InvalidArgument for no such batch; BatchBusy while a task is not final.</returns>
    public TransferError? FreeBatch(ulong batch) =>
        _core.Unusable() ?? _core.Transfers.Free(batch);

    /// <summary>
    /// Does requests and waits for them. A time-out of the engine's ends them too, so this ends in any case.
    /// </summary>
    /// <returns>The worst final state, with the bytes moved; an error as of <see cref="Submit"/>.</returns>
    public TransferResult<TransferStatus> Transfer(ReadOnlySpan<TransferRequest> requests,
        TransferNotify? notify = null)
    {
        var batch = AllocateBatch(Math.Max(1, requests.Length));
        if (!batch.Succeeded)
            return batch.Error!;
        var error = notify is null ? Submit(batch.Value, requests) : SubmitWithNotify(batch.Value, requests, notify);
        var status = error is null ? Wait(batch.Value, TimeSpan.MaxValue) : error;
        FreeBatch(batch.Value);
        return status;
    }

    /// <summary>
    /// Waits until the work is done that is on a stream of CUDA so far, for as long as a transfer may take: what is
    /// submitted then comes after it. What is put on the stream once a transfer has ended sees its bytes.
    /// </summary>
    /// <param name="requests">What is to be submitted: its sources say which GPUs are meant.</param>
    /// <param name="stream">
    /// A CUstream; 0: the default stream of each of these GPUs, or, where all sources are in host memory, of the GPU
    /// that the calling thread uses.
    /// </param>
    /// <returns>
    /// Whether it is done in that time; InvalidArgument for no such stream of the GPU; DeviceNotFound for a GPU that is
    /// lost or whose work has failed, or where this process has not begun CUDA.
    /// </returns>
    public TransferResult<bool> AwaitStream(ReadOnlySpan<TransferRequest> requests, nint stream) =>
        _core.Unusable() is { } unusable ? unusable : _core.Transfers.AwaitStream(requests, stream);

    /// <summary>Sends a message to the engine of an open segment, and waits until it has it.</summary>
    /// <returns>
    /// Null; InvalidArgument for no open segment, or a text over the limit; TooManyRequests when the peer's queue is
    /// full; Endpoint.
    /// </returns>
    public TransferError? SendNotify(int id, TransferNotify notify)
    {
        ArgumentNullException.ThrowIfNull(notify);
        return _core.Unusable() ?? _core.Notify(id, notify);
    }

    /// <summary>The messages that have come since the last call, in the order they came.</summary>
    public IReadOnlyList<TransferNotify> TakeNotifies() =>
        _core.TakeNotifies();

    /// <summary>Asks whether an engine is there, without opening its segment.</summary>
    /// <returns>Null; as for <see cref="OpenSegment"/>.</returns>
    public TransferError? SendProbe(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return _core.Unusable() ?? _core.Probe(name);
    }

    /// <summary>What each way to peers carries now.</summary>
    public IReadOnlyList<RailLoad> RailLoads() =>
        _core.Loads();

    /// <summary>
    /// Which RDMA devices serve which memory: <c>{"cpu:0":[["mlx5_0"],["mlx5_1"]]}</c>, preferred devices first.
    /// </summary>
    /// <param name="devices">Names of devices, separated by commas, to leave the others out; empty: all.</param>
    /// <returns>JSON in one line; DeviceNotFound for a name that no device has.</returns>
    public TransferResult<string> LocalTopology(string devices = "")
    {
        ArgumentNullException.ThrowIfNull(devices);
        string[] names = devices.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        var hardware = new SysfsReader("/sys").Read().With(names, []);
        return hardware.Succeeded
            ? TopologyMatrix.Of(hardware.Value).ToJson()
            : new TransferError(TransferErrorCode.DeviceNotFound, hardware.Error!.Message);
    }

    /// <summary>The open segments and by what transport each is reached, for people or as JSON.</summary>
    public string ShowLinks(bool json = false) =>
        json ? _core.ShowLinksAsJson() : _core.ShowLinks();

    /// <summary>
    /// Ends the engine: transfers under way end canceled, and when it returns nothing touches registered memory.
    /// </summary>
    public void Dispose() =>
        _core.Dispose();

    private static TransferTransports? NamedTransport(string protocol) => protocol switch
    {
        "rdma" => TransferTransports.Rdma,
        "tcp" => TransferTransports.Tcp,
        "cma" => TransferTransports.Cma,
        "shm" => TransferTransports.Shm,
        _ => null,
    };

    private static TransferError NoBatch(ulong batch) =>
        new(TransferErrorCode.InvalidArgument, $"there is no batch {batch}");

    private static TransferError NoTask(ulong batch, int task) =>
        new(TransferErrorCode.InvalidArgument, $"batch {batch} has no task {task}");
}
