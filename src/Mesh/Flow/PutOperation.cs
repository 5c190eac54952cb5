// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// A put, at the caller: choose holders -> bytes into an extent -> seal; the holder publishes and answers. Tried first
/// where there is room, then with eviction; the same objectId throughout, so that a retry meets its own first attempt.
/// </summary>
internal sealed class PutOperation
{
    private const int GiveUpTries = 5;
    private static readonly TimeSpan GiveUpTimeout = TimeSpan.FromSeconds(1);

    private readonly FlowContext _context;
    private readonly TransferPlan _plan;
    private readonly HolderChoice _choice;
    private readonly MeshKey _key;
    private readonly NativeRange _value;
    private readonly PutOptions _options;
    private readonly Deadline _deadline;
    private readonly CancellationToken _cancel;
    private readonly ulong _objectId;
    private RangeMemory? _inline;
    private SliceSums? _sums;
    private ulong _checksum;
    private readonly HashSet<string> _holders = [];
    private RecordVersion _version;
    private MeshError? _refusal;
    private MeshError? _met;
    private string? _unanswered;
    private bool _existed;
    private bool _ended;
    private int _made;
    private int _copies;

    private PutOperation(FlowContext context, TransferPlan plan, HolderChoice choice, MeshKey key,
        NativeRange value, PutOptions options, Deadline deadline, CancellationToken cancel)
    {
        _context = context;
        _plan = plan;
        _choice = choice;
        _key = key;
        _value = value;
        _options = options;
        _deadline = deadline;
        _cancel = cancel;
        _objectId = context.Runtime.Random.NextUInt64();
    }

    /// <summary>Puts; the caller keeps <paramref name="value"/> in place until the task ends.</summary>
    public static async Task<MeshResult<PutOutcome>> RunAsync(FlowContext context, TransferPlan plan,
        HolderChoice choice, MeshKey key, NativeRange value, PutOptions options, CancellationToken cancel)
    {
        if (key.Validate() is { } invalid)
            return invalid;
        if (options.Replicas is < 1 or > Wire.MaxReplicas)
        {
            return new MeshError(MeshErrorCode.InvalidArgument, "put",
                $"replicas is {options.Replicas}; 1 to {Wire.MaxReplicas} are legal");
        }

        if (new HeldAttributes(options.Pin, options.Group).Validate("put") is { } attributes)
            return attributes;
        var deadline = new Deadline(context.Runtime.Time, options.Deadline ?? TransferPlan.DefaultLimit(value.Length));
        var put = new PutOperation(context, plan, choice, key, value, options, deadline, cancel);
        return await put.RunAsync();
    }

    private async Task<MeshResult<PutOutcome>> RunAsync()
    {
        // A large value is not carried to a holder only to be freed there: look first, without warming the key.
        if (_value.Length > Wire.MaxInlinePut && !_options.Replace)
            await LookAsync();
        // A larger one is summed while it is carried.
        if (!IsDone && _value.Length <= Wire.MaxInlinePut)
            _checksum = SumOf(_value);
        var backoff = default(Backoff);
        while (true)
        {
            if (!IsDone)
                await TryHoldersAsync(mayEvict: false);
            if (!IsDone)
                await TryHoldersAsync(mayEvict: true);
            if (IsDone || _existed || _made > 0)
                return await EndAsync();
            if (_value.Device?.Failure is { } failure)
                return failure with { Stage = "put" };
            if (_refusal is { Code: MeshErrorCode.InvalidArgument or MeshErrorCode.NoSpace or MeshErrorCode.PinLimit })
                return _unanswered is null ? _refusal : Unanswered(_refusal);
            await backoff.PauseAsync(_context, _deadline, _cancel);
            if (_cancel.IsCancellationRequested)
                return new MeshError(MeshErrorCode.Cancelled, "put", "the caller cancelled");
            if (_deadline.Passed)
                return TooLate();
        }
    }

    /// <summary>Notes what has the key already. An object of the same bytes may want for copies.</summary>
    private async Task LookAsync()
    {
        var found = await LocateOperation.RunAsync(_context, [_key], default, _deadline, _cancel);
        if (found.RecordOf(0) is not { } record)
            return;
        _existed = true;
        _version = record.Version;
        _copies = record.Replicas.Length;
        if (_copies < _options.Replicas && record.Size == _value.Length)
            _checksum = await SumAsync();
        _ended = _checksum == 0 || _checksum != record.Checksum;
        foreach (var replica in record.Replicas)
        {
            if (_context.View.FindIncarnation(replica.Incarnation) is { } holder)
                _holders.Add(holder.NodeId);
        }
    }

    private async Task<MeshResult<PutOutcome>> EndAsync()
    {
        if (_existed && _options.Pin != ObjectPin.None && await PinPresentAsync() is { } error)
            return error;
        if (!_existed)
            _context.Seen.Note(_key.Hash, _version);
        return new PutOutcome(_existed, _version, _made);
    }

    /// <summary>Pins the object that has the key already, at every holder.</summary>
    private async Task<MeshError?> PinPresentAsync()
    {
        var found = await LocateOperation.RunAsync(_context, [_key], default, _deadline, _cancel);
        if (found.RecordOf(0) is not { } record)
            return null;
        MeshError? refusal = null;
        foreach (var replica in record.Replicas)
        {
            if (_context.View.FindIncarnation(replica.Incarnation) is not { } holder)
                continue;
            var pinned = await _context.Calls.PinAsync(holder, new PinRequest(_key, record.ObjectId, _options.Pin),
                _deadline.AtMost(_deadline.Left), _cancel);
            refusal ??= pinned.Error is { Code: MeshErrorCode.PinLimit } full ? full : null;
        }

        return refusal;
    }

    /// <summary>A refusal of one holder, while another, that did not answer, may have stored the value.</summary>
    private MeshError Unanswered(MeshError refusal) => new(MeshErrorCode.Unknown, "put",
        $"{_unanswered} did not answer and may have stored it; then: {refusal.Message}");

    /// <summary>Why the time was not enough.</summary>
    private MeshError TooLate()
    {
        string within = $"within {_deadline.Limit.TotalMilliseconds:0} ms";
        if (_refusal is { } refusal)
        {
            // The last try may have had no more than what the others left of the time.
            string met = _met is null || _met == refusal ? "" : $"; before that: {_met.Message}";
            return refusal with { Message = $"{refusal.Message}; the put was not done {within}{met}" };
        }

        return _choice.Order(_key, _options).Count > 0
            ? _deadline.Error("put")
            : new MeshError(MeshErrorCode.Unavailable, "put",
                $"no node with memory could be reached {within}; is one part of the mesh?");
    }

    private bool IsDone => _ended || _copies >= _options.Replicas;

    private async Task TryHoldersAsync(bool mayEvict)
    {
        foreach (var holder in _choice.Order(_key, _options))
        {
            if (IsDone || _deadline.Passed || _cancel.IsCancellationRequested)
                return;
            if (_holders.Contains(holder.NodeId) || (!mayEvict && _choice.IsFull(holder)))
                continue;
            var answer = await StoreAsync(holder, mayEvict);
            if (answer.Succeeded)
            {
                Note(holder, answer.Value);
                continue;
            }

            _refusal = answer.Error;
            if (answer.Error!.Code != MeshErrorCode.DeadlineExceeded)
                _met = answer.Error;
            if (answer.Error!.Code is not (MeshErrorCode.NoSpace or MeshErrorCode.PinLimit or MeshErrorCode.Device
                or MeshErrorCode.InvalidArgument or MeshErrorCode.Busy) && answer.Error.Stage != "link")
                _unanswered = holder.NodeId;
            if (answer.Error!.Code == MeshErrorCode.NoSpace && !mayEvict)
                _choice.SetFull(holder);
        }
    }

    private void Note(NodeRecord holder, in PutAnswer answer)
    {
        _version = answer.Version;
        switch (answer.Fate)
        {
            case PutFate.Stored:
            case PutFate.Joined:
            case PutFate.Held:
                _holders.Add(holder.NodeId);
                _made += answer.Fate == PutFate.Held ? 0 : 1;
                _existed |= answer.Fate != PutFate.Stored;
                _copies = Math.Max(answer.Copies, _made);
                break;
            case PutFate.Own:
                // An earlier attempt, whose answer never came, had made a copy.
                _made = Math.Max(1, _made);
                _ended = true;
                break;
            default:
                // A copy too many, after one of ours was taken, is no older object.
                _existed |= _made == 0;
                _ended = true;
                break;
        }
    }

    private async Task<MeshResult<PutAnswer>> StoreAsync(NodeRecord holder, bool mayEvict)
    {
        var limit = _deadline.AtMost(Half(_deadline.Left));
        var head = new PutHead(_key, _objectId, _value.Length, _options.Replicas, mayEvict,
            (int)limit.TotalMilliseconds, _options.Replace && _made == 0, _options.Pin, _options.Group,
            _context.Seen.VersionOf(_key.Hash));
        if (_value.Length <= Wire.MaxInlinePut)
            return await _context.Calls.PutAsync(holder, new PutRequest(head, _checksum, Inline()), limit, _cancel);
        ulong client = await ClientAtAsync(holder, limit);
        var answer = await CarryAsync(holder, head, client, limit);
        // What the process may not have, or no longer, in shared memory goes over a socket.
        return answer.Error is { Stage: ClientProcess.ReserveStage }
            ? await CarryAsync(holder, head, 0, limit)
            : answer;
    }

    /// <summary>What this process is called at a holder whose memory it may write into itself; 0: it may not.</summary>
    private async Task<ulong> ClientAtAsync(NodeRecord holder, TimeSpan limit)
    {
        if (_plan.Shared is not { } shared || _context.Calls.IsSelf(holder)
            || await shared.HoldAsync(holder, limit, _cancel) is not { } mapping)
            return 0;
        ulong client = mapping.MayWrite ? mapping.Client : 0;
        mapping.Release();
        return client;
    }

    /// <summary>Reserves, carries the bytes, seals.</summary>
    private async Task<MeshResult<PutAnswer>> CarryAsync(NodeRecord holder, PutHead head, ulong client, TimeSpan limit)
    {
        ulong id = client != 0 ? _context.Runtime.Random.NextUInt64() : 0;
        var reserved = await _context.Calls.ReserveAsync(holder, new ReserveRequest(head, client, id), limit, _cancel);
        if (!reserved.Succeeded)
        {
            // It may have been made, with an answer that did not arrive.
            if (client != 0 && reserved.Error!.Stage is "link" or "channel")
                GiveUp(holder, id);
            return reserved.Error!;
        }

        // Summed on the way to the first holder that gets all of it.
        var sums = _sums is null ? new SliceSums(_value.Length) : null;
        var write = new ExtentWrite(holder, reserved.Value.ReservationId, sums, client, reserved.Value.SegmentId,
            reserved.Value.Offset);
        var carried = await _plan.WriteAsync(write, _value, _deadline.AtMost(_deadline.Left), _cancel);
        if (carried != TransferOutcome.Done)
        {
            GiveUp(holder, write.ReservationId);
            return WhyNot(write, carried);
        }

        if (sums is not null)
        {
            _sums = sums;
            _checksum = sums.Checksum;
        }

        var seal = new SealRequest(write.ReservationId, _checksum, client != 0 ? _sums!.Values : null);
        var answer = await _context.Calls.SealAsync(holder, seal, _deadline.AtMost(_deadline.Left), _cancel);
        if (client != 0 && !answer.Succeeded)
            GiveUp(holder, id);
        return answer;
    }

    /// <summary>Why the bytes did not get there.</summary>
    private MeshError WhyNot(in ExtentWrite write, TransferOutcome carried)
    {
        if (carried == TransferOutcome.DeviceFailed)
        {
            return _value.Device?.Failure is { } failure
                ? failure with { Stage = "put" }
                : new MeshError(MeshErrorCode.Device, "put:transfer",
                    $"a device of {write.Node.NodeId} refused, failed or stalled");
        }

        // That the time is over says less than what an earlier try met.
        if (carried == TransferOutcome.Late && _met is { Code: MeshErrorCode.Device } earlier)
            return earlier;
        return _plan.WhyNot(write, _value.Length) ?? new MeshError(MeshErrorCode.Unavailable, "put:transfer",
            $"the bytes did not reach {write.Node.NodeId}: {carried}");
    }

    /// <summary>
    /// Gives a reservation up, beside what comes next. Nothing of this process writes into it any more; one in shared
    /// memory would otherwise last as long as the process.
    /// </summary>
    private void GiveUp(NodeRecord holder, ulong reservationId)
    {
        var context = _context;
        _ = context.Runtime.Start(async () =>
        {
            for (int i = 0; i < GiveUpTries; i++)
            {
                var given = await context.Calls.AbandonAsync(holder, new AbandonRequest(reservationId), GiveUpTimeout,
                    CancellationToken.None);
                if (given.Succeeded)
                    return;
                await context.Runtime.Delay(GiveUpTimeout, CancellationToken.None);
            }
        });
    }

    /// <summary>The checksum of the value, wherever it is; 0: its device does not give it, or not in time.</summary>
    private async ValueTask<ulong> SumAsync()
    {
        if (_value.Device is null)
            return SumOf(_value);
        var sums = new SliceSums(_value.Length);
        return await _context.Devices!.RunAsync(new DeviceMove(_value, default, sums), _deadline.AtMost(_deadline.Left),
            _cancel) == TransferOutcome.Done ? sums.Checksum : 0;
    }

    private static unsafe ulong SumOf(NativeRange value) => ObjectSum.Of((byte*)value.Address, value.Length);

    /// <summary>The value itself: a request of ours is written, or carried out, before the put ends.</summary>
    private ReadOnlyMemory<byte> Inline() => (_inline ??= new RangeMemory(_value)).Memory;

    /// <summary>A holder that does not answer must leave time for another one.</summary>
    private static TimeSpan Half(TimeSpan left) => left / 2;
}
