// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;
using Mooncake.Mesh.Verbs.Mesh;

namespace Mooncake.Mesh.Client;

/// <summary>
/// A client of a mesh: puts, gets and finds objects. Connects by any node's address or through etcd, needs neither
/// afterwards to be alive, and may be used by many threads at once. Every call ends by its deadline; Try-forms return
/// a <see cref="MeshResult{T}"/>, the others throw <see cref="MeshException"/>.
/// </summary>
public sealed class MeshClient : IAsyncDisposable
{
    private readonly MeshOperations _operations;
    private readonly ClientPeer? _peer;
    private readonly TimeSpan _limit;

    private MeshClient(MeshOperations operations, ClientPeer? peer, TimeSpan limit)
    {
        _operations = operations;
        _peer = peer;
        _limit = limit;
    }

    internal MeshOperations Operations => _operations;

    /// <summary>Ids of the nodes in the present view.</summary>
    public IReadOnlyList<string> Nodes => [.. _operations.Context.View.Members.Select(m => m.NodeId)];

    /// <summary>Name of the present view: epoch.revision.digest.</summary>
    public string View => _operations.Context.View.Id.ToString();

    /// <summary>Ids of the nodes that own the key's record in the present view, primary first; at most 4.</summary>
    public IReadOnlyList<string> OwnersOf(MeshKey key)
    {
        var view = _operations.Context.View;
        var owners = new List<string>(SlotTable.Places);
        for (int place = 0; place < SlotTable.Places; place++)
        {
            if (view.Members.Count > 0 && view.Owner(view.SlotOf(key.Hash), place) is { } owner)
                owners.Add(owner.NodeId);
        }

        return owners;
    }

    /// <summary>A client of the node embedded in this process; the node stays the caller's.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The deadline is not more than 0, or more than a day.</exception>
    public static MeshClient For(MeshNode node, TimeSpan? deadline = null)
    {
        ArgumentNullException.ThrowIfNull(node);
        TimeSpan limit = CallLimit.Checked(deadline, nameof(deadline)) ?? new MeshClientOptions().Deadline;
        return new MeshClient(node.Operations, null, limit);
    }

    /// <summary>Connects, or throws.</summary>
    public static async Task<MeshClient> ConnectAsync(MeshClientOptions options, CancellationToken cancel = default) =>
        (await TryConnectAsync(options, cancel)).Value;

    /// <summary>Connects: learns the mesh's view from a node or from etcd.</summary>
    public static async Task<MeshResult<MeshClient>> TryConnectAsync(MeshClientOptions options,
        CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var runtime = new MeshRuntime
        {
            Network = new SocketNetwork(),
            Log = options.Log,
            Verbs = parts => RdmaTransport.OpenAsync(options.Rdma, parts),
            Devices = options.Devices,
        };
        MeshResult<string[]> seeds = options.Seeds();
        if (seeds.Error is { } wrong)
            return wrong;
        IMeshRegistry? registry = null;
        if (options.Etcd is not null)
        {
            var created = EtcdRegistry.Create(
                options.EtcdAccess with { Endpoints = options.Etcd, Cluster = options.Cluster }, runtime);
            if (!created.Succeeded)
                return created.Error!;
            registry = created.Value;
        }

        var peer = new ClientPeer(options.Cluster, seeds.Value, registry, runtime,
            options.SameHost ? HostIdentity.BootId : "", options.Secret, options.Rails, options.Transport);
        if (await peer.ConnectAsync(options.ConnectTimeout, cancel) is { } error)
        {
            await peer.DisposeAsync();
            return error;
        }

        return new MeshClient(peer.Operations, peer, options.Deadline);
    }

    /// <summary>Stores a value; an object that has the key already stays as it is.</summary>
    public Task<MeshResult<PutOutcome>> TryPutAsync(MeshKey key, ReadOnlyMemory<byte> value,
        PutOptions? options = null, CancellationToken cancel = default) =>
        _operations.PutAsync(key, value, options, cancel);

    /// <summary>Stores native memory, which must stay in place until the task ends.</summary>
    public Task<MeshResult<PutOutcome>> TryPutAsync(MeshKey key, NativeRange value, PutOptions? options = null,
        CancellationToken cancel = default) => _operations.PutAsync(key, value, options, cancel);

    /// <summary>Stores a value, or throws.</summary>
    public async Task<PutOutcome> PutAsync(MeshKey key, ReadOnlyMemory<byte> value, PutOptions? options = null,
        CancellationToken cancel = default) => (await TryPutAsync(key, value, options, cancel)).Value;

    /// <summary>
    /// Stores several pieces of native memory, one after the other, as one value; they must stay in place until the
    /// task ends. At most 4,096 pieces in one place, host or device; in host memory gathered by a copy.
    /// </summary>
    public Task<MeshResult<PutOutcome>> TryPutAsync(MeshKey key, IReadOnlyList<NativeRange> pieces,
        PutOptions? options = null, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(pieces);
        return _operations.PutAsync(key, pieces, options, cancel);
    }

    /// <summary>
    /// Stores a value in place of the one that the key has, if any; the old one's copies are gone when it returns. A
    /// failure leaves the old value, unless its code says that the outcome is unknown.
    /// </summary>
    public Task<MeshResult<PutOutcome>> TryUpsertAsync(MeshKey key, ReadOnlyMemory<byte> value,
        PutOptions? options = null, CancellationToken cancel = default) =>
        TryPutAsync(key, value, (options ?? PutOptions.Default) with { Replace = true }, cancel);

    /// <summary>Stores a value in place of the one that the key has, or throws.</summary>
    public async Task<PutOutcome> UpsertAsync(MeshKey key, ReadOnlyMemory<byte> value, PutOptions? options = null,
        CancellationToken cancel = default) => (await TryUpsertAsync(key, value, options, cancel)).Value;

    /// <summary>
    /// Stores many values in place of those that the keys have; one result per position. Of a key named twice the last
    /// value wins, and each position has its result.
    /// </summary>
    public Task<MeshResult<PutOutcome>[]> TryUpsertBatchAsync(IReadOnlyList<MeshKey> keys,
        IReadOnlyList<ReadOnlyMemory<byte>> values, PutOptions? options = null, CancellationToken cancel = default) =>
        TryPutBatchAsync(keys, values, (options ?? PutOptions.Default) with { Replace = true }, cancel);

    /// <summary>
    /// Stores many values at once; one result per position. Of a key named twice the first value wins, or, with
    /// <see cref="PutOptions.Replace"/>, the last.
    /// </summary>
    public async Task<MeshResult<PutOutcome>[]> TryPutBatchAsync(IReadOnlyList<MeshKey> keys,
        IReadOnlyList<ReadOnlyMemory<byte>> values, PutOptions? options = null, CancellationToken cancel = default)
    {
        CheckLengths(keys.Count, values.Count, nameof(values));
        return await BatchPut.RunAsync(keys, options is { Replace: true },
            i => _operations.PutAsync(keys[i], values[i], options, cancel));
    }

    /// <summary>Gets an object as a new array.</summary>
    /// <returns>
    /// The value; NotFound when there is none; Unavailable when its holders or the key's owners could not be reached,
    /// or when it was replaced each of the three times it was read; DeadlineExceeded; Cancelled.
    /// </returns>
    public async Task<MeshResult<byte[]>> TryGetAsync(MeshKey key, GetOptions? options = null,
        CancellationToken cancel = default)
    {
        using var target = new ArrayTarget();
        var size = await _operations.GetAsync(key, target, options, cancel);
        return size.Succeeded ? target.Array : size.Error!;
    }

    /// <summary>Gets an object, or throws; of a key that is not there: <see cref="MeshErrorCode.NotFound"/>.</summary>
    public async Task<byte[]> GetAsync(MeshKey key, GetOptions? options = null, CancellationToken cancel = default) =>
        (await TryGetAsync(key, options, cancel)).Value;

    /// <summary>Gets an object into <paramref name="destination"/>; its size. Bytes after it are not touched.</summary>
    public async Task<MeshResult<long>> TryGetAsync(MeshKey key, Memory<byte> destination, GetOptions? options = null,
        CancellationToken cancel = default)
    {
        using var pinned = new PinnedMemory(destination);
        return await TryGetAsync(key, pinned.Range, options, cancel);
    }

    /// <summary>Gets an object into native memory, which must stay in place until the task ends; its size.</summary>
    public Task<MeshResult<long>> TryGetAsync(MeshKey key, NativeRange destination, GetOptions? options = null,
        CancellationToken cancel = default) =>
        _operations.GetAsync(key, new RangeTarget(destination), options, cancel);

    /// <summary>
    /// Gets an object into several pieces of native memory, filled one after the other; its size. They must stay in
    /// place until the task ends; bytes after the value are not touched, and none if it does not fit or, in host
    /// memory, fails. At most 4,096 pieces in one place, host or device; in host memory scattered by a copy.
    /// </summary>
    public Task<MeshResult<long>> TryGetIntoAsync(MeshKey key, IReadOnlyList<NativeRange> pieces,
        GetOptions? options = null, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(pieces);
        return _operations.GetAsync(key, pieces, options, cancel);
    }

    /// <summary>
    /// Gets a part of an object: as many bytes from <paramref name="offset"/> on as <paramref name="destination"/> has.
    /// </summary>
    /// <returns>The length; InvalidArgument where the object ends before; the failures of a get.</returns>
    public async Task<MeshResult<long>> TryGetRangeAsync(MeshKey key, long offset, Memory<byte> destination,
        GetOptions? options = null, CancellationToken cancel = default)
    {
        using var pinned = new PinnedMemory(destination);
        return await TryGetRangeAsync(key, offset, pinned.Range, options, cancel);
    }

    /// <summary>Gets a part of an object into native memory, which must stay in place until the task ends.</summary>
    public Task<MeshResult<long>> TryGetRangeAsync(MeshKey key, long offset, NativeRange destination,
        GetOptions? options = null, CancellationToken cancel = default) =>
        _operations.GetRangeAsync(new ObjectRange(key, offset), destination, options, cancel);

    /// <summary>Gets parts of many objects into buffers; one result (the length) per position.</summary>
    public async Task<MeshResult<long>[]> TryGetRangeBatchAsync(IReadOnlyList<ObjectRange> ranges,
        IReadOnlyList<Memory<byte>> destinations, GetOptions? options = null, CancellationToken cancel = default)
    {
        CheckLengths(ranges.Count, destinations.Count, nameof(destinations));
        var pins = new PinnedMemory[destinations.Count];
        try
        {
            for (int i = 0; i < pins.Length; i++)
                pins[i] = new PinnedMemory(destinations[i]);
            return await _operations.GetRangesAsync(ranges, Array.ConvertAll(pins, static p => p.Range), options,
                cancel);
        }
        finally
        {
            foreach (var pin in pins)
                pin.Dispose();
        }
    }

    /// <summary>
    /// Opens a view of an object: its bytes where they are, in the memory of a node of this host, without a copy.
    /// </summary>
    /// <returns>
    /// The view, to be disposed; NotFound; Unavailable when no node of this host has a copy or lets its memory be
    /// mapped; ClientLimit when this process has as many views, or bytes in view, as the node grants.
    /// </returns>
    public Task<MeshResult<MappedView>> TryViewAsync(MeshKey key, ViewOptions? options = null,
        CancellationToken cancel = default) => _operations.ViewAsync(key, options, cancel);

    /// <summary>Opens a view of an object, or throws.</summary>
    public async Task<MappedView> ViewAsync(MeshKey key, ViewOptions? options = null,
        CancellationToken cancel = default) => (await TryViewAsync(key, options, cancel)).Value;

    /// <summary>Gets many objects into buffers; one result (the size) per position.</summary>
    public async Task<MeshResult<long>[]> TryGetBatchAsync(IReadOnlyList<MeshKey> keys,
        IReadOnlyList<Memory<byte>> destinations, GetOptions? options = null, CancellationToken cancel = default)
    {
        CheckLengths(keys.Count, destinations.Count, nameof(destinations));
        var pins = new PinnedMemory[destinations.Count];
        try
        {
            for (int i = 0; i < pins.Length; i++)
                pins[i] = new PinnedMemory(destinations[i]);
            var targets = Array.ConvertAll(pins, static p => (IGetTarget)new RangeTarget(p.Range));
            return await _operations.GetManyAsync(keys, targets, options, cancel);
        }
        finally
        {
            foreach (var pin in pins)
                pin.Dispose();
        }
    }

    /// <summary>Gets many objects as new arrays; one result per position.</summary>
    public async Task<MeshResult<byte[]>[]> TryGetBatchAsync(IReadOnlyList<MeshKey> keys, GetOptions? options = null,
        CancellationToken cancel = default)
    {
        var targets = new ArrayTarget[keys.Count];
        for (int i = 0; i < targets.Length; i++)
            targets[i] = new ArrayTarget();
        try
        {
            var sizes = await _operations.GetManyAsync(keys, targets, options, cancel);
            var results = new MeshResult<byte[]>[keys.Count];
            for (int i = 0; i < results.Length; i++)
                results[i] = sizes[i].Succeeded ? targets[i].Array : sizes[i].Error!;
            return results;
        }
        finally
        {
            foreach (var target in targets)
                target.Dispose();
        }
    }

    /// <summary>Whether an object has this key. Does not keep it from being evicted.</summary>
    public async Task<MeshResult<bool>> TryExistsAsync(MeshKey key, CancellationToken cancel = default) =>
        (await _operations.ExistAsync([key], _limit, cancel))[0];

    /// <summary>Whether an object has this key, or throws.</summary>
    public async Task<bool> ExistsAsync(MeshKey key, CancellationToken cancel = default) =>
        (await TryExistsAsync(key, cancel)).Value;

    /// <summary>Which keys have an object; one result per position, one request per owner.</summary>
    public async Task<MeshResult<bool>[]> TryExistsBatchAsync(IReadOnlyList<MeshKey> keys,
        CancellationToken cancel = default) => await _operations.ExistAsync(keys, _limit, cancel);

    /// <summary>
    /// Where objects are, without moving them or keeping them warm; one request per owner. For those who send work to
    /// where its data lies.
    /// </summary>
    public async Task<ObjectLocations> TryLocateBatchAsync(IReadOnlyList<MeshKey> keys,
        CancellationToken cancel = default) =>
        new(await _operations.LocateAsync(keys, _limit, cancel), _operations.Context.View);

    /// <summary>The longest present prefix of a chain of blocks; one request per owner.</summary>
    public Task<MeshResult<PrefixMatch>> TryMatchPrefixAsync(IReadOnlyList<MeshKey> keys,
        CancellationToken cancel = default) => _operations.MatchPrefixAsync(keys, _limit, cancel);

    /// <summary>Removes an object; false when there was none.</summary>
    public Task<MeshResult<bool>> TryRemoveAsync(MeshKey key, CancellationToken cancel = default) =>
        _operations.RemoveAsync(key, _limit, cancel);

    /// <summary>Removes an object, or throws; false when there was none.</summary>
    public async Task<bool> RemoveAsync(MeshKey key, CancellationToken cancel = default) =>
        (await TryRemoveAsync(key, cancel)).Value;

    /// <summary>
    /// Removes every object whose key a regular expression matches anywhere; how many there were. It runs at the
    /// holders without backtracking, over keys as UTF-8: at most 1,024 bytes, no look-around and no back references.
    /// Keys put while it runs may stay.
    /// </summary>
    /// <param name="pattern">The expression; a failure names it.</param>
    /// <param name="deadline">Longest time; null: 30 s.</param>
    /// <param name="cancel">Ends the call; what is removed stays removed.</param>
    /// <exception cref="ArgumentOutOfRangeException">The deadline is not more than 0, or more than a day.</exception>
    public Task<MeshResult<long>> TryRemoveMatchingAsync(string pattern, TimeSpan? deadline = null,
        CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(pattern);
        return _operations.RemoveMatchingAsync(pattern, CallLimit.Bulk(deadline), cancel);
    }

    /// <summary>
    /// Removes every object of the mesh, hard-pinned ones too. What was stored before the call is gone when it returns,
    /// on every node that can be reached; what is stored after it returned stays. Needs the registry to answer.
    /// </summary>
    /// <param name="deadline">Longest time; null: 30 s.</param>
    /// <param name="cancel">Ends the call; everything may be removed nevertheless.</param>
    /// <exception cref="ArgumentOutOfRangeException">The deadline is not more than 0, or more than a day.</exception>
    public Task<MeshResult<RemoveAllOutcome>> TryRemoveAllAsync(TimeSpan? deadline = null,
        CancellationToken cancel = default) => _operations.RemoveAllAsync(CallLimit.Bulk(deadline), cancel);

    /// <summary>
    /// Every object whose key starts with <paramref name="prefix"/>, once, in no order that means anything; a node that
    /// does not answer comes as a failure. Fetched page by page, each within the client's deadline: what is put or
    /// removed meanwhile may or may not come.
    /// </summary>
    public IAsyncEnumerable<MeshResult<ListedObject>> ListAsync(string prefix, CancellationToken cancel = default) =>
        _operations.ListAsync(System.Text.Encoding.UTF8.GetBytes(prefix), _limit, cancel);

    /// <summary>Status of every node of the view; one result per node, in order of their ids.</summary>
    public async Task<IReadOnlyList<(string NodeId, MeshResult<NodeStatus> Status)>> TryStatusOfAllAsync(
        CancellationToken cancel = default)
    {
        var members = _operations.Context.View.Members;
        var asked = members.Select(m => _operations.StatusAsync(m, _limit, cancel)).ToArray();
        var results = new List<(string NodeId, MeshResult<NodeStatus> Status)>();
        for (int i = 0; i < asked.Length; i++)
        {
            var json = await asked[i];
            MeshResult<NodeStatus> status = !json.Succeeded
                ? json.Error!
                : NodeStatus.FromJson(json.Value) is { } parsed
                    ? parsed
                    : new MeshError(MeshErrorCode.Protocol, "status", "the node sent no status");
            results.Add((members[i].NodeId, status));
        }

        return results;
    }

    /// <summary>Status, as JSON, of the node with this id or endpoint, or of the first one that answers.</summary>
    public async Task<MeshResult<byte[]>> TryStatusAsync(string? node = null, CancellationToken cancel = default)
    {
        NodeRecord[] asked = [.. _operations.Context.View.Members
            .Where(member => node is null || member.NodeId == node || member.Endpoints.Contains(node))];
        return await _operations.FirstStatusAsync(asked, _limit, cancel)
            ?? new MeshError(MeshErrorCode.NotFound, "status", node is null
                ? "the mesh has no member"
                : $"no member has the id or endpoint '{node}'");
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _peer?.DisposeAsync() ?? default;

    private static void CheckLengths(int keys, int others, string name)
    {
        if (keys != others)
            throw new ArgumentException($"{others} entries for {keys} keys; the lists must be of equal length", name);
    }
}
