// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Client.Engine;

/// <summary>
/// Moves bytes between registered memory of this process and of others: by shared memory, by process_vm_readv and
/// process_vm_writev, or by tcp, as the two sides can. Every call may come from any thread, at any time; none blocks
/// longer than the time-outs of <see cref="TransferEngineOptions"/>. Once a task's state is final, nothing of the
/// caller's memory is read or written for it. The model, names and numbers are those of Mooncake's Transfer Engine.
/// </summary>
public sealed class TransferEngine : IDisposable
{
    /// <summary>The segment of this engine itself.</summary>
    public const int LocalSegment = 0;

    private TransferEngine()
    {
    }

    /// <summary>"ip:port", or "[v6]:port": what peers open in P2PHANDSHAKE mode.</summary>
    public string LocalAddress => throw new NotImplementedException();

    /// <summary>The name that peers open: with etcd what was announced, else <see cref="LocalAddress"/>.</summary>
    public string SegmentName => throw new NotImplementedException();

    /// <summary>The port it listens on.</summary>
    public int Port => throw new NotImplementedException();

    /// <summary>Starts an engine: it listens and, with etcd, is announced.</summary>
    /// <returns>
    /// The engine; InvalidArgument naming the option; Socket for a port that is in use; Dns; Metadata when etcd cannot
    /// be reached or another living engine has the name; NotImplemented for other kinds of metadata.
    /// </returns>
    public static TransferResult<TransferEngine> Create(TransferEngineOptions options) =>
        throw new NotImplementedException();

    /// <summary>
    /// Allows a transport by its name in Mooncake: "tcp", "shm", "cma", "rdma", or "nvlink_intra" and the like.
    /// </summary>
    /// <returns>Null; DeviceNotFound for "rdma" without a card; NotImplemented for one that is not offered.</returns>
    public TransferError? InstallTransport(string protocol) => throw new NotImplementedException();

    /// <summary>No longer uses a transport; transfers under way by it end as they end.</summary>
    /// <returns>Null; InvalidArgument for one that is not in use.</returns>
    public TransferError? UninstallTransport(string protocol) => throw new NotImplementedException();

    /// <summary>Registers memory, which must stay mapped until it is unregistered.</summary>
    /// <param name="address">First byte.</param>
    /// <param name="length">Length in bytes, from 1.</param>
    /// <param name="location">"cpu:N", "cuda:N", or "*": found out.</param>
    /// <param name="remoteAccessible">Whether peers may read and write it.</param>
    /// <returns>
    /// Null; InvalidArgument for an empty or wrapping range or no location; AddressOverlapped; TooManyRequests;
    /// NotImplemented for memory of a GPU.
    /// </returns>
    public TransferError? Register(nint address, ulong length, string location = "*", bool remoteAccessible = true) =>
        throw new NotImplementedException();

    /// <summary>Registers all of some ranges for peers, or none of them.</summary>
    /// <returns>As <see cref="Register(nint, ulong, string, bool)"/>, of the first range that is refused.</returns>
    public TransferError? Register(ReadOnlySpan<BufferEntry> buffers, string location = "*") =>
        throw new NotImplementedException();

    /// <summary>
    /// Ends the registration that begins at an address. When it returns null, no transfer reads or writes the memory
    /// any more: those under way are given a second, then broken.
    /// </summary>
    /// <returns>
    /// Null; AddressNotRegistered; BatchBusy when a process of this host stands still in the midst of a copy: the
    /// memory stays registered, for this call to be repeated.
    /// </returns>
    public TransferError? Unregister(nint address) => throw new NotImplementedException();

    /// <summary>Ends several registrations; goes on after one that fails.</summary>
    /// <returns>The first failure, or null.</returns>
    public TransferError? Unregister(ReadOnlySpan<nint> addresses) => throw new NotImplementedException();

    /// <summary>
    /// Memory of the engine's own allocator: zeroed, registered, and mapped by peers on this host, so that transfers
    /// with them are copies.
    /// </summary>
    /// <param name="length">Length in bytes, from 1.</param>
    /// <returns>The first byte, on a page of its own; InvalidArgument; Memory.</returns>
    public TransferResult<nint> AllocateManaged(ulong length) => throw new NotImplementedException();

    /// <summary>Gives such memory back, as <see cref="Unregister(nint)"/> does with registered memory.</summary>
    /// <param name="address">As it was allocated.</param>
    /// <param name="length">As it was asked for.</param>
    /// <returns>Null; InvalidArgument for another length; AddressNotRegistered; BatchBusy.</returns>
    public TransferError? FreeManaged(nint address, ulong length) => throw new NotImplementedException();

    /// <summary>
    /// Opens a segment and learns which process it is: opened again, after the peer was started anew, it leads to the
    /// new one, under the same id.
    /// </summary>
    /// <param name="name">host:port, or with etcd the announced name; this engine's own name is 0.</param>
    /// <returns>The id, from 1; InvalidArgument; Dns; Socket; RejectHandshake; Metadata; Endpoint.</returns>
    public TransferResult<int> OpenSegment(string name) => throw new NotImplementedException();

    /// <summary>As <see cref="OpenSegment"/>, but without what was learnt of the name before.</summary>
    public TransferResult<int> OpenSegmentNoCache(string name) => throw new NotImplementedException();

    /// <summary>
    /// Closes a segment that was opened as often. Its connections end when nobody has it open; later requests are
    /// refused.
    /// </summary>
    /// <returns>Null; InvalidArgument for no open segment.</returns>
    public TransferError? CloseSegment(int id) => throw new NotImplementedException();

    /// <summary>Learns anew which process each open segment is; one that cannot be reached stays as it is.</summary>
    public TransferError? SyncSegmentCache() => throw new NotImplementedException();

    /// <summary>Withdraws this engine's own name; open connections stay.</summary>
    /// <returns>Null; InvalidArgument for a name that is not its own.</returns>
    public TransferError? RemoveLocalSegment(string name) => throw new NotImplementedException();

    /// <summary>Where the first registered memory of an open segment begins, as an address in its process.</summary>
    /// <returns>The address; AddressNotRegistered when there is none; as for <see cref="OpenSegment"/>.</returns>
    public TransferResult<ulong> GetFirstBufferAddress(int id) => throw new NotImplementedException();

    /// <summary>Makes a batch that takes up to <paramref name="size"/> requests.</summary>
    /// <returns>
    /// The batch, never 0 nor all ones; InvalidArgument for no size from 1 to 65,536; TooManyRequests.
    /// </returns>
    public TransferResult<ulong> AllocateBatch(int size) => throw new NotImplementedException();

    /// <summary>
    /// Starts requests: all of them or, on an error, none. They are numbered as the batch's tasks, from 0 on. Small
    /// requests to this host may be done when it returns.
    /// </summary>
    /// <returns>
    /// Null; InvalidArgument for no such batch or segment, or a range that wraps; TooManyRequests when the batch has
    /// no room for them; AddressNotRegistered for a source that is not.
    /// </returns>
    public TransferError? Submit(ulong batch, ReadOnlySpan<TransferRequest> requests) =>
        throw new NotImplementedException();

    /// <summary>
    /// As <see cref="Submit"/>; once all of the requests are completed the target of the first is told. The last task
    /// to end is completed when the target has the message.
    /// </summary>
    public TransferError? SubmitWithNotify(ulong batch, ReadOnlySpan<TransferRequest> requests,
        TransferNotify notify) => throw new NotImplementedException();

    /// <summary>How a task stands.</summary>
    /// <returns>The status; InvalidArgument for no such batch or task.</returns>
    public TransferResult<TransferStatus> GetStatus(ulong batch, int task) => throw new NotImplementedException();

    /// <summary>How the tasks of a batch stand together: pending, or the worst of their final states.</summary>
    /// <returns>The status; InvalidArgument for no such batch.</returns>
    public TransferResult<TransferStatus> GetBatchStatus(ulong batch) => throw new NotImplementedException();

    /// <summary>Waits until all tasks of a batch are final, or until the time is over.</summary>
    /// <returns>As <see cref="GetBatchStatus"/>.</returns>
    public TransferResult<TransferStatus> Wait(ulong batch, TimeSpan limit) => throw new NotImplementedException();

    /// <summary>Ends when all tasks of a batch are final.</summary>
    /// <returns>As <see cref="GetBatchStatus"/>.</returns>
    public Task<TransferResult<TransferStatus>> WhenEndedAsync(ulong batch) => throw new NotImplementedException();

    /// <summary>Forgets a batch.</summary>
    /// <returns>Null; InvalidArgument for no such batch; BatchBusy while a task is not final.</returns>
    public TransferError? FreeBatch(ulong batch) => throw new NotImplementedException();

    /// <summary>
    /// Does requests and waits for them. A time-out of the engine's ends them too, so this ends in any case.
    /// </summary>
    /// <returns>The worst final state, with the bytes moved; an error as of <see cref="Submit"/>.</returns>
    public TransferResult<TransferStatus> Transfer(ReadOnlySpan<TransferRequest> requests,
        TransferNotify? notify = null) => throw new NotImplementedException();

    /// <summary>Sends a message to the engine of an open segment, and waits until it has it.</summary>
    /// <returns>
    /// Null; InvalidArgument for no open segment, or a text over the limit; TooManyRequests when the peer's queue is
    /// full; Endpoint.
    /// </returns>
    public TransferError? SendNotify(int id, TransferNotify notify) => throw new NotImplementedException();

    /// <summary>The messages that have come since the last call, in the order they came.</summary>
    public IReadOnlyList<TransferNotify> TakeNotifies() => throw new NotImplementedException();

    /// <summary>Asks whether an engine is there, without opening its segment.</summary>
    /// <returns>Null; as for <see cref="OpenSegment"/>.</returns>
    public TransferError? SendProbe(string name) => throw new NotImplementedException();

    /// <summary>What each way to peers carries now.</summary>
    public IReadOnlyList<RailLoad> RailLoads() => throw new NotImplementedException();

    /// <summary>
    /// Which RDMA devices serve which memory: <c>{"cpu:0":[["mlx5_0"],["mlx5_1"]]}</c>, preferred devices first.
    /// </summary>
    /// <param name="devices">Names of devices, separated by commas, to leave the others out; empty: all.</param>
    /// <returns>JSON in one line; DeviceNotFound for a name that no device has.</returns>
    public TransferResult<string> LocalTopology(string devices = "") => throw new NotImplementedException();

    /// <summary>The open segments and by what transport each is reached, for people or as JSON.</summary>
    public string ShowLinks(bool json = false) => throw new NotImplementedException();

    /// <summary>
    /// Ends the engine: transfers under way end canceled, and when it returns nothing touches registered memory.
    /// </summary>
    public void Dispose() => throw new NotImplementedException();
}
