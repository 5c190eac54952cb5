// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>Every operation of a caller, on one context. Thread-safe.</summary>
internal sealed class MeshOperations
{
    private const int ParallelTransfers = 16;
    private static readonly TimeSpan AnswerSlack = TimeSpan.FromMilliseconds(200);
    private readonly FlowContext _context;
    private readonly TransferPlan _plan;
    private readonly HolderChoice _choice;
    private readonly GetOperation _get;

    private readonly DevicePut _device;
    private readonly RangeOperation _range;
    private readonly ViewOperation _view;

    /// <param name="context">View, calls, clock.</param>
    /// <param name="plan">The transports.</param>
    /// <param name="bootId">Boot id of this host.</param>
    /// <param name="own">Memory of the node in this process; null in a client.</param>
    public MeshOperations(FlowContext context, TransferPlan plan, string bootId, ObjectStore? own)
    {
        _context = context;
        _plan = plan;
        _choice = new HolderChoice(context, bootId);
        _device = new DevicePut(context, plan, _choice);
        _get = new GetOperation(context, plan);
        _range = new RangeOperation(context, plan);
        _view = new ViewOperation(context, plan, own);
    }

    public FlowContext Context => _context;

    public TransferPlan Plan => _plan;

    /// <summary>Looks where a caller's memory is, and lets network cards reach it, until it is unregistered.</summary>
    public async Task RegisterAsync(NativeRange memory)
    {
        _context.CallerMemory.Note(memory);
        if (_plan.Cards is { } cards)
            await cards.RegisterAsync(_context.CallerMemory.Find(memory, default));
    }

    /// <summary>The memory that was registered with this first byte may become other memory.</summary>
    public void Unregister(nint address)
    {
        _plan.Cards?.Unregister(address);
        _context.CallerMemory.Forget(address);
    }

    /// <summary>Reads that found their extent given to another object.</summary>
    public long StaleReads => _get.StaleReads + _range.StaleReads;

    /// <summary>Reads and views whose checksum was wrong while the generation was right.</summary>
    public long CorruptReads => _get.CorruptReads + _range.CorruptReads + _view.Corrupt;

    public Task<MeshResult<PutOutcome>> PutAsync(MeshKey key, NativeRange value, PutOptions? options,
        CancellationToken cancel) =>
        value.Validate("put", "the value") is { } wrong
            ? Task.FromResult<MeshResult<PutOutcome>>(wrong)
            : EndAsync("put", _device.PutAsync(key, value, options ?? PutOptions.Default, cancel), cancel);

    /// <summary>Puts the pieces as one value.</summary>
    public async Task<MeshResult<PutOutcome>> PutAsync(MeshKey key, IReadOnlyList<NativeRange> pieces,
        PutOptions? options, CancellationToken cancel)
    {
        var sum = Pieces.Sum(pieces, "put");
        if (!sum.Succeeded)
            return sum.Error!;
        if (pieces.Count == 1)
            return await PutAsync(key, pieces[0], options, cancel);
        var device = _context.CallerMemory.Find(pieces, (options ?? PutOptions.Default).Order, "put");
        if (!device.Succeeded)
            return device.Error!;
        if (device.Value is { } there)
            return await PutAsync(key, there, options, cancel);
        using var scratch = new ScratchMemory();
        var whole = scratch.Size(sum.Value);
        if (!whole.Succeeded)
            return whole.Error!;
        Pieces.Gather(pieces, whole.Value);
        return await PutAsync(key, whole.Value, options, cancel);
    }

    /// <summary>Gets one object into the pieces, one after the other; its size.</summary>
    public async Task<MeshResult<long>> GetAsync(MeshKey key, IReadOnlyList<NativeRange> pieces, GetOptions? options,
        CancellationToken cancel)
    {
        if (pieces.Count == 1)
            return await GetAsync(key, new RangeTarget(pieces[0]), options, cancel);
        using var scratch = new ScratchMemory();
        var target = TargetOf(pieces, scratch, options);
        var size = await GetAsync(key, target, options, cancel);
        if (size.Succeeded && target is PiecesTarget)
            Pieces.Scatter(scratch.Range, size.Value, pieces);
        return size;
    }

    /// <summary>
    /// A get into pieces: to where a device has them, or else into memory of ours, from where they are scattered.
    /// </summary>
    public IGetTarget TargetOf(IReadOnlyList<NativeRange> pieces, ScratchMemory scratch, GetOptions? options) =>
        _context.CallerMemory.HasDevices
            ? DevicePieces.TargetOf(_context.CallerMemory, pieces, scratch, (options ?? GetOptions.Default).Order)
            : new PiecesTarget(pieces, scratch);

    public async Task<MeshResult<PutOutcome>> PutAsync(MeshKey key, ReadOnlyMemory<byte> value, PutOptions? options,
        CancellationToken cancel)
    {
        // Managed memory is no device's: nobody is asked.
        using var pinned = new PinnedMemory(value);
        return await EndAsync("put", PutOperation.RunAsync(_context, _plan, _choice, key, pinned.Range,
            options ?? PutOptions.Default, cancel), cancel);
    }

    public Task<MeshResult<long>> GetAsync(MeshKey key, IGetTarget target, GetOptions? options,
        CancellationToken cancel) =>
        EndAsync("get", _get.RunAsync(key, target, options ?? GetOptions.Default, cancel), cancel);

    /// <summary>Opens a view of one object, in the memory of a node of this host.</summary>
    public Task<MeshResult<MappedView>> ViewAsync(MeshKey key, ViewOptions? options, CancellationToken cancel) =>
        EndAsync("view", _view.RunAsync(key, options ?? ViewOptions.Default, cancel), cancel);

    /// <summary>Gets many; one result per position. One request per owner finds them all.</summary>
    public async Task<MeshResult<long>[]> GetManyAsync(IReadOnlyList<MeshKey> keys, IReadOnlyList<IGetTarget> targets,
        GetOptions? options, CancellationToken cancel)
    {
        options ??= GetOptions.Default;
        var deadline = new Deadline(_context.Runtime.Time, options.Deadline ?? TransferPlan.DefaultLimit(0));
        return await EachFoundAsync(keys, GetOperation.Wants, deadline, (index, record, value) =>
            _get.RunAsync(keys[index], record, value, targets[index], options, deadline, cancel), cancel);
    }

    /// <summary>Reads a part of an object; its length.</summary>
    public Task<MeshResult<long>> GetRangeAsync(ObjectRange range, NativeRange destination, GetOptions? options,
        CancellationToken cancel)
    {
        options ??= GetOptions.Default;
        var deadline = new Deadline(_context.Runtime.Time, options.Deadline ?? TransferPlan.DefaultLimit(0));
        return EndAsync("get", _range.RunAsync(range, null, destination, options, deadline, cancel), cancel);
    }

    /// <summary>Reads parts of many objects; one result (the length) per position.</summary>
    public async Task<MeshResult<long>[]> GetRangesAsync(IReadOnlyList<ObjectRange> ranges,
        IReadOnlyList<NativeRange> destinations, GetOptions? options, CancellationToken cancel)
    {
        options ??= GetOptions.Default;
        var deadline = new Deadline(_context.Runtime.Time, options.Deadline ?? TransferPlan.DefaultLimit(0));
        var keys = new MeshKey[ranges.Count];
        for (int i = 0; i < keys.Length; i++)
            keys[i] = ranges[i].Key;
        return await EachFoundAsync(keys, new LocateWants(Mark: true), deadline, (index, record, _) =>
            _range.RunAsync(ranges[index], record, destinations[index], options, deadline, cancel), cancel);
    }

    /// <summary>Locates many keys with one request per owner, and reads what was found, some at a time.</summary>
    private async Task<MeshResult<long>[]> EachFoundAsync(IReadOnlyList<MeshKey> keys, LocateWants wants,
        Deadline deadline, Func<int, ObjectRecord?, ReadOnlyMemory<byte>, Task<MeshResult<long>>> read,
        CancellationToken cancel)
    {
        var results = new MeshResult<long>[keys.Count];
        var legal = LegalKeys(keys, i => results[i] = keys[i].Validate()!);
        var located = await LocateOperation.RunAsync(_context, legal.ConvertAll(i => keys[i]), wants, deadline, cancel);
        using var gate = new SemaphoreSlim(ParallelTransfers);
        var reads = new Task[legal.Count];
        for (int i = 0; i < reads.Length; i++)
            reads[i] = ReadAsync(i);
        await Task.WhenAll(reads);
        return results;

        async Task ReadAsync(int at)
        {
            int index = legal[at];
            if (located.ErrorOf(at) is { } error)
            {
                results[index] = error;
                return;
            }

            if (!located.IsPresent(at))
            {
                results[index] = new MeshError(MeshErrorCode.NotFound, "get", "no object has this key");
                return;
            }

            // Not to be cancelled: those in front end at once then, and each position needs its result.
            await gate.WaitAsync(CancellationToken.None);
            try
            {
                results[index] = await EndAsync("get", read(index, located.RecordOf(at), located.ValueOf(at)), cancel);
            }
            finally
            {
                gate.Release();
            }
        }
    }

    /// <summary>Which keys have an object; one result per position. Does not keep them warm.</summary>
    public async Task<MeshResult<bool>[]> ExistAsync(IReadOnlyList<MeshKey> keys, TimeSpan? limit,
        CancellationToken cancel)
    {
        var results = new MeshResult<bool>[keys.Count];
        var legal = LegalKeys(keys, i => results[i] = keys[i].Validate()!);
        var deadline = new Deadline(_context.Runtime.Time, limit ?? TransferPlan.DefaultLimit(0));
        var asked = legal.Count == keys.Count ? keys : legal.ConvertAll(i => keys[i]);
        var located = await LocateOperation.RunAsync(_context, asked, new LocateWants(Mark: false, CodesOnly: true),
            deadline, cancel);
        for (int i = 0; i < legal.Count; i++)
            results[legal[i]] = located.ErrorOf(i) is { } error ? error : located.IsPresent(i);

        return results;
    }

    /// <summary>The records of keys, each of them legal; does not keep them warm.</summary>
    public Task<Located> LocateAsync(IReadOnlyList<MeshKey> keys, TimeSpan? limit, CancellationToken cancel) =>
        LocateOperation.RunAsync(_context, keys, default,
            new Deadline(_context.Runtime.Time, limit ?? TransferPlan.DefaultLimit(0)), cancel);

    /// <summary>The longest present prefix of a chain, in one request per owner.</summary>
    public async Task<MeshResult<PrefixMatch>> MatchPrefixAsync(IReadOnlyList<MeshKey> keys, TimeSpan? limit,
        CancellationToken cancel)
    {
        var found = await ExistAsync(keys, limit, cancel);
        bool[] present = new bool[found.Length];
        for (int i = 0; i < found.Length; i++)
        {
            if (!found[i].Succeeded)
                return found[i].Error!;
            present[i] = found[i].Value;
        }

        int length = 0;
        while (length < present.Length && present[length])
            length++;
        return new PrefixMatch(length, present);
    }

    public Task<MeshResult<bool>> RemoveAsync(MeshKey key, TimeSpan? limit, CancellationToken cancel) =>
        EndAsync("remove", RemoveOperation.RunAsync(_context, key, limit ?? TransferPlan.DefaultLimit(0), cancel),
            cancel);

    /// <summary>Removes every key that a regular expression matches; how many there were.</summary>
    public Task<MeshResult<long>> RemoveMatchingAsync(string pattern, TimeSpan limit, CancellationToken cancel) =>
        EndAsync("remove-matching", RemoveMatching.RunAsync(_context, pattern, limit, cancel), cancel);

    /// <summary>Removes everything, through the first node that takes the call.</summary>
    public Task<MeshResult<RemoveAllOutcome>> RemoveAllAsync(TimeSpan limit, CancellationToken cancel) =>
        EndAsync("remove-all", RunRemoveAllAsync(limit, cancel), cancel);

    /// <summary>Every object whose key starts with <paramref name="prefix"/>, once, ordered by key hash.</summary>
    /// <param name="prefix">UTF-8.</param>
    /// <param name="limit">Of one page.</param>
    /// <param name="cancel">Ends it.</param>
    public IAsyncEnumerable<MeshResult<ListedObject>> ListAsync(byte[] prefix, TimeSpan limit,
        CancellationToken cancel) => ListOperation.RunAsync(_context, prefix, limit, cancel);

    /// <summary>Status of one node, as JSON.</summary>
    public async Task<MeshResult<byte[]>> StatusAsync(NodeRecord node, TimeSpan limit, CancellationToken cancel)
    {
        var answer = await _context.AskAsync(limit, left => _context.Calls.StatusAsync(node, left, cancel), cancel);
        return answer.Succeeded ? answer.Value.Json : answer.Error!;
    }

    /// <summary>
    /// Status, as JSON, of the first of the nodes that answers; null when there is none to ask. A silent node takes
    /// half of what is left of the time, so that it leaves some to those after it.
    /// </summary>
    public async Task<MeshResult<byte[]>?> FirstStatusAsync(IReadOnlyList<NodeRecord> nodes, TimeSpan limit,
        CancellationToken cancel)
    {
        var deadline = new Deadline(_context.Runtime.Time, limit);
        MeshResult<byte[]>? last = null;
        for (int i = 0; i < nodes.Count && (i == 0 || !deadline.Passed); i++)
        {
            var most = i == nodes.Count - 1 ? deadline.Left : deadline.Left / 2;
            last = await StatusAsync(nodes[i], deadline.AtMost(most), cancel);
            if (last.Value.Succeeded)
                return last;
        }

        return last;
    }

    private async Task<MeshResult<RemoveAllOutcome>> RunRemoveAllAsync(TimeSpan limit, CancellationToken cancel)
    {
        var deadline = new Deadline(_context.Runtime.Time, limit);
        MeshError last = new(MeshErrorCode.Unavailable, "remove-all", "no node can be reached");
        foreach (var node in _context.View.Members)
        {
            if (_context.IsDown(node) || deadline.Passed)
                continue;
            var left = deadline.AtMost(deadline.Left);
            // The node's own error says more than a call that ran out of time a moment before it.
            var request = new RemoveAllRequest(ClearCounter.DefaultNamespace, (int)left.TotalMilliseconds);
            var answer = await _context.Calls.RemoveAllAsync(node, request, left + AnswerSlack, cancel);
            if (answer.Succeeded)
                return new RemoveAllOutcome(answer.Value.Cleared, answer.Value.Done, answer.Value.Away);
            last = answer.Error!;
            if (last.Code is not (MeshErrorCode.Unavailable or MeshErrorCode.Busy or MeshErrorCode.Closed))
                return last;
        }

        return last;
    }

    /// <summary>The call's result; a call that its caller cancelled ends as Cancelled, not by an exception.</summary>
    private async Task<MeshResult<T>> EndAsync<T>(string stage, Task<MeshResult<T>> call, CancellationToken cancel)
    {
        try
        {
            // In a node the call may end upon a reader loop, where no code of a user's may run.
            bool elsewhere = _context.NodeId.Length > 0 && !call.IsCompleted;
            var result = await call;
            if (elsewhere)
                await Task.Yield();
            return result;
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            return new MeshError(MeshErrorCode.Cancelled, stage, "the caller cancelled");
        }
    }

    private static List<int> LegalKeys(IReadOnlyList<MeshKey> keys, Action<int> refuse)
    {
        var legal = new List<int>(keys.Count);
        for (int i = 0; i < keys.Count; i++)
        {
            if (keys[i].Validate() is null)
                legal.Add(i);
            else
                refuse(i);
        }

        return legal;
    }
}
