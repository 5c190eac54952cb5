// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Moves objects between the memory of the host and that of devices, one at a time and in the background: hot ones to
/// the device that reads them, others from a device that has little free. First the copy, then the owners are told of
/// its place, as of a replica that has a greater generation, then it takes the object's place. Until then the object
/// can be read where it was, and whatever befalls it befalls the copy. Does nothing in a store that has not both.
/// </summary>
internal sealed class TierMover(FlowContext context, ObjectStore store, HolderService holder, DroppedQueue dropped,
    HolderReconciler reconciler)
{
    /// <summary>Most objects that wait to move to a device.</summary>
    public const int MostHits = 64;

    /// <summary>The longest that a device may take for one object: after that it counts as lost.</summary>
    public static readonly TimeSpan CopyLimit = TimeSpan.FromSeconds(30);

    private const int MostInRound = 64;
    private static readonly TimeSpan AnnounceLimit = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan CallTimeout = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(2);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestInterval = TimeSpan.FromMilliseconds(400);

    private readonly ILogger _log = context.Runtime.Log.CreateLogger("mesh.tiers");
    private readonly RecordMirror _mirror = new(context);
    private readonly Queue<Hit> _hits = [];
    private readonly WakeSignal _wake = new(context.Runtime.Time);
    private readonly CancellationTokenSource _stop = new();

    /// <summary>What was moved since the start.</summary>
    public TierCounters Counters { get; } = new();

    public void Start()
    {
        if (store.Tiers is { } tiers)
            _ = context.Runtime.Start(() => LoopAsync(tiers));
    }

    public void Stop() => _stop.Cancel();

    /// <summary>What decides from now on.</summary>
    public void Use(TierOptions options)
    {
        if (store.Tiers is { } tiers)
            tiers.Policy = new TierPolicy(options);
    }

    /// <summary>An object is read, under a pin, into memory of a device.</summary>
    public void Read(ExtentPin pin, string location)
    {
        if (store.Tiers?.Read(pin, location) is not { } hot)
            return;
        lock (_hits)
        {
            // One that finds no place here is read again, or is not hot.
            if (_hits.Count < MostHits)
                _hits.Enqueue(new Hit(hot, location));
        }

        _wake.Set();
    }

    private async Task LoopAsync(StoreTiers tiers)
    {
        var interval = Interval;
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                interval = await RoundAsync(tiers) > 0 ? Interval
                    : interval < LongestInterval / 2 ? 2 * interval : LongestInterval;
                await _wake.WaitAsync(interval, _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>One round; how many objects have moved.</summary>
    private async Task<int> RoundAsync(StoreTiers tiers)
    {
        int moved = 0;
        for (int i = 0; i < MostInRound && TryNext(out var hit); i++)
            moved += await PromoteAsync(tiers, hit) ? 1 : 0;
        for (int i = 0; i < MostInRound && tiers.BeginDemotion() is { } move; i++)
        {
            if (!await MoveAsync(tiers, move))
                break;
            moved++;
            await context.Runtime.Delay(Pace, _stop.Token);
        }

        return moved;
    }

    private bool TryNext(out Hit hit)
    {
        lock (_hits)
            return _hits.TryDequeue(out hit);
    }

    private async Task<bool> PromoteAsync(StoreTiers tiers, Hit hit)
    {
        for (int i = 0; i < MostInRound; i++)
        {
            var move = tiers.BeginPromotion(hit.Item, hit.Location, out bool makeRoom);
            if (move is not null)
                return await MoveAsync(tiers, move);
            if (!makeRoom || tiers.BeginDemotion(hit.Location, wanted: true) is not { } colder
                || !await MoveAsync(tiers, colder))
                return false;
        }

        return false;
    }

    /// <summary>Moves one object; false when it stays where it is, or has left.</summary>
    private async Task<bool> MoveAsync(StoreTiers tiers, TierMove move)
    {
        HeldObject? copy = null;
        bool done = false;
        try
        {
            // Cut off from the owners it could not say where the object is.
            if (_mirror.Owners(context.SlotOf(move.Source.Key)) is not [var first, ..] || context.IsDown(first)
                || !await CopyAsync(move))
                return false;
            ulong life = holder.Incarnation;
            copy = tiers.Seal(move);
            done = copy is not null && await AnnounceAsync(RecordOf(move, copy), life) && tiers.TryFinish();
        }
        finally
        {
            tiers.End(move);
            // It left while its copy was made; whoever was told of the copy hears that it is gone, too.
            if (!done && copy is not null)
                dropped.Add(copy, copy.ObjectId, "", SlotTable.Places);
        }

        Counters.Ended(move, done);
        return done;
    }

    private async Task<bool> CopyAsync(TierMove move)
    {
        var sums = new SliceSums(move.Source.Size);
        var from = DeviceMoves.RangeOf(move.Pin.Bytes);
        var to = DeviceMoves.RangeOf(move.Target.BytesOf(0));
        var outcome = await context.Devices!.RunAsync(new DeviceMove(from, to, sums), CopyLimit, _stop.Token);
        _stop.Token.ThrowIfCancellationRequested();
        bool right = outcome == TransferOutcome.Done
            && (move.Source.Checksum == 0 || sums.Checksum == move.Source.Checksum);
        if (right)
        {
            move.Target.Sums = sums;
            return true;
        }

        Counters.Failed();
        _log.LogWarning("tier_move_failed bytes={Bytes} from={From} to={To} reason={Reason}", move.Source.Size,
            from.Device?.Location ?? "host", to.Device?.Location ?? "host",
            outcome == TransferOutcome.Done ? "checksum" : (from.Device ?? to.Device)?.Failure?.Message ?? "busy");
        return false;
    }

    /// <summary>
    /// Tells the owners where the copy is. Once one of them may have heard it there is no way back, as of two places at
    /// one holder the owners keep the later: so silence is no reason to stay.
    /// </summary>
    /// <returns>False when the key has something else, or nothing, at its owners.</returns>
    private async Task<bool> AnnounceAsync(KeyedRecord record, ulong life)
    {
        int slot = context.SlotOf(record.Key);
        var deadline = new Deadline(context.Runtime.Time, AnnounceLimit);
        var backoff = default(Backoff);
        while (!deadline.Passed)
        {
            foreach (var owner in _mirror.Owners(slot))
            {
                var answer = await context.Calls.MirrorAsync(owner, new MirrorRequest([record]),
                    deadline.AtMost(CallTimeout), _stop.Token);
                if (!answer.Succeeded || answer.Value.Items is not [{ Code: not OwnerCode.Unsure } item])
                    continue;
                if (item is { Code: OwnerCode.Kept, Record: { } kept }
                    && (kept.Removed || kept.ObjectId != record.Record.ObjectId))
                    return false;
                var mirrored = await _mirror.RunAsync(record, owner, answer.Value.View, deadline, _stop.Token);
                if (mirrored.IsAstray)
                    break;
                return mirrored.Newer is null && life == holder.Incarnation;
            }

            await backoff.PauseAsync(context, deadline, _stop.Token);
        }

        // Whoever names the old place, or knows of none, is put right as soon as it hears us.
        reconciler.MeshChanged();
        return life == holder.Incarnation;
    }

    private KeyedRecord RecordOf(TierMove move, HeldObject copy) => new(move.Source.Key,
        holder.RecordOf(move.Source) with { Replicas = [HolderService.ReplicaOf(copy, holder.Incarnation)] });

    /// <summary>An object that was read often enough, and the device it was read into.</summary>
    private readonly record struct Hit(HeldObject Item, string Location);
}
