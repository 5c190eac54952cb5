// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// The holder's side of repair: about every 30 s, paced, it tells primary and backup of what it holds, and drops what a
/// greater version has replaced. It heals every message that was lost.
/// </summary>
internal sealed class HolderReconciler(FlowContext context, ObjectStore store, HolderService holder,
    DroppedQueue dropped)
{
    private const int IntervalMilliseconds = 30_000;
    private const int BatchObjects = 256;
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(1);
    private readonly CancellationTokenSource _stop = new();

    /// <summary>Objects dropped because an owner knows a greater version.</summary>
    public long Superseded { get; private set; }

    public void Start() => _ = context.Runtime.Start(LoopAsync);

    public void Stop() => _stop.Cancel();

    private async Task LoopAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                int jittered = (IntervalMilliseconds / 2) + context.Runtime.Random.Next(IntervalMilliseconds);
                await context.Runtime.Delay(TimeSpan.FromMilliseconds(jittered), _stop.Token);
                await RoundAsync();
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>One round over everything held.</summary>
    public async Task RoundAsync()
    {
        ulong from = 0;
        var held = new List<HeldObject>();
        while (!_stop.IsCancellationRequested)
        {
            held.Clear();
            int found = store.ListRange(from, ulong.MaxValue, BatchObjects, held);
            await TellAsync(held);
            if (found < BatchObjects || held[^1].Key.Hash == ulong.MaxValue)
                return;
            from = held[^1].Key.Hash + 1;
            await context.Runtime.Delay(Pace, _stop.Token);
        }
    }

    private async Task TellAsync(List<HeldObject> held)
    {
        var byOwner = new SortedDictionary<string, List<HeldObject>>(StringComparer.Ordinal);
        var view = context.View;
        foreach (var item in held)
        {
            int slot = view.SlotOf(item.Key.Hash);
            for (int place = 0; place <= 1; place++)
            {
                if (view.Owner(slot, place) is not { } owner || context.IsDown(owner))
                    continue;
                if (!byOwner.TryGetValue(owner.NodeId, out var list))
                    byOwner.Add(owner.NodeId, list = []);
                list.Add(item);
            }
        }

        foreach (var (nodeId, items) in byOwner)
        {
            if (view.Find(nodeId) is { } node)
                await TellOwnerAsync(node, items);
        }
    }

    private async Task TellOwnerAsync(NodeRecord node, List<HeldObject> items)
    {
        var records = items.ConvertAll(i => new KeyedRecord(i.Key, holder.RecordOf(i)));
        int at = 0;
        foreach (var batch in Batches.Of(records))
        {
            var answer = await context.Calls.MirrorAsync(node, new MirrorRequest(batch), CallTimeout, _stop.Token);
            if (!answer.Succeeded || answer.Value.Items.Length != batch.Length)
                return;
            for (int i = 0; i < batch.Length; i++)
                Heed(items[at + i], answer.Value.Items[i]);
            at += batch.Length;
        }
    }

    private void Heed(HeldObject item, in OwnerAnswer answer)
    {
        bool lost = answer is { Code: OwnerCode.Kept, Record: { } newer }
            && (newer.Removed || newer.ObjectId != item.ObjectId);
        if (lost && store.Drop(item.Key, item.ObjectId))
            Superseded++;
        // Evicted while we told of it: the owner must not keep what we just said.
        if (!lost && (!store.TryFind(item.Key, out var still) || still.ObjectId != item.ObjectId))
            dropped.Add(item, item.ObjectId, "");
    }
}
