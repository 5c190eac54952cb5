// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Tells the owners, in the background and in batches, which copies this holder no longer has; repeated until they
/// answer or leave the view. Bounded: what does not fit is found by the periodic reconciliation.
/// </summary>
internal sealed class DroppedQueue(FlowContext context, OwnIncarnation incarnation)
{
    private const int MaxQueued = 200_000;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan IdlePause = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AwayPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(1);
    private readonly Dictionary<string, Queue<RetractItem>> _byOwner = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly WakeSignal _wake = new(context.Runtime.Time);
    private int _queued;
    private long _overflowed;

    /// <summary>Items not yet answered.</summary>
    public int Count => Volatile.Read(ref _queued);

    /// <summary>Items left to reconciliation because the queue was full.</summary>
    public long Overflowed => Volatile.Read(ref _overflowed);

    public void Start() => _ = context.Runtime.Start(LoopAsync);

    public void Stop() => _stop.Cancel();

    /// <summary>Queues a dropped copy for the owners of its key, but for one that knows.</summary>
    /// <param name="held">The copy.</param>
    /// <param name="objectId">The object it was of.</param>
    /// <param name="knows">The owner that knows, or empty.</param>
    /// <param name="places">How many owners are told: all that can have it on record.</param>
    public void Add(HeldObject held, ulong objectId, string knows, int places = 2)
    {
        var key = held.Key;
        var view = context.View;
        int slot = view.SlotOf(key.Hash);
        for (int place = 0; place < places; place++)
        {
            if (view.Owner(slot, place) is not { } owner || owner.NodeId == knows)
                continue;
            lock (_byOwner)
            {
                if (_queued >= MaxQueued)
                {
                    _overflowed++;
                    continue;
                }

                if (!_byOwner.TryGetValue(owner.NodeId, out var queue))
                    _byOwner.Add(owner.NodeId, queue = new Queue<RetractItem>());
                queue.Enqueue(new RetractItem(key, objectId, held.Extent.Generation));
                _queued++;
            }
        }

        _wake.Set();
    }

    private async Task LoopAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            string[] owners;
            lock (_byOwner)
                owners = [.. _byOwner.Where(o => o.Value.Count > 0).Select(o => o.Key).Order(StringComparer.Ordinal)];
            bool away = false;
            foreach (string nodeId in owners)
                away |= !await TellAsync(nodeId);
            try
            {
                if (Count == 0)
                    await _wake.WaitAsync(IdlePause, _stop.Token);
                // More may be dropped meanwhile: one call for them all.
                await context.Runtime.Delay(away ? AwayPause : Pause, _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task<bool> TellAsync(string nodeId)
    {
        if (context.View.Find(nodeId) is not { } node)
        {
            lock (_byOwner)
            {
                if (_byOwner.Remove(nodeId, out var gone))
                    _queued -= gone.Count;
            }

            return true;
        }

        RetractItem[] items;
        lock (_byOwner)
            items = [.. _byOwner[nodeId].Take(Wire.MaxBatch / 2)];
        var answer = await context.Calls.RetractAsync(node, new RetractRequest(incarnation.Value, items, true),
            AnswerTimeout, _stop.Token);
        if (!answer.Succeeded)
            return false;
        lock (_byOwner)
        {
            if (_byOwner.TryGetValue(nodeId, out var queue))
            {
                for (int i = 0; i < items.Length && queue.Count > 0; i++)
                {
                    queue.Dequeue();
                    _queued--;
                }
            }
        }

        return true;
    }
}
