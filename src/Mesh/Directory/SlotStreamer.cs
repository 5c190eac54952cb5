// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// The source's side of slot streaming: pages of whole slots, or of one part of a large slot, each with its count and
/// digest taken under the same lock as its records. A source answers only once it is in the asker's view: what it
/// decides from then on is mirrored to the asker, so a slot may change between two of its parts. While nobody confirms
/// its view it gives what it has, and says of no slot that this is all (rule A8): it may have been expelled.
/// </summary>
internal sealed class SlotStreamer(
    DirectoryTable table, SlotStates states, TombstoneClock tombstones, Func<bool> isConfident, TimeProvider time)
{
    private const int SlotsPerPage = 16_384;

    public SlotPage Pull(in SlotPullRequest request)
    {
        var mine = states.Current.View.Id;
        // Before the records: a slot that became complete after they were copied was not when they were.
        long stamp = states.Stamp;
        var complete = new SlotSet(new byte[request.Slots.Bits.Length]);
        if (!mine.IsOrFollows(request.View))
            return new SlotPage(false, request.From, complete, [], [], request.Position, stamp);
        bool confident = isConfident();
        var page = new SlotPart();
        var summaries = new List<SlotSummary>();
        int seen = 0;
        int slot = Math.Max(0, request.From);
        int end = Math.Min(request.Slots.Capacity, table.Slots);
        ulong position = request.Position;
        for (; slot < end && !page.IsFull && summaries.Count < Wire.MaxBatch && seen < SlotsPerPage; slot++)
        {
            if (request.Slots.Contains(slot))
            {
                seen++;
                ulong begun = position;
                bool known = confident
                    && (states.MayVouch(slot) || (states.IsLost(slot) && !states.Returned.Any));
                int before = page.Records.Count;
                bool ended = CopyPart(slot, ref position, page);
                var summary = page.Summary(slot);
                if (!ended && before > 0)
                {
                    // Whole slots where they fit: this one begins the next page.
                    page.Records.RemoveRange(before, page.Records.Count - before);
                    position = begun;
                    break;
                }

                // More records of one hash than a page can carry are never streamed: the holders reconcile them.
                bool stuck = !ended && summary.Count == 0;
                if (summary.Count > 0)
                    summaries.Add(summary);
                if (known && !stuck)
                    complete.Add(slot);
                if (!ended && !stuck)
                    break;
            }

            position = 0;
        }

        tombstones.Send(page.Records);
        return slot >= end
            ? new SlotPage(true, table.Slots, complete, [.. summaries], [.. page.Records], 0, stamp)
            : new SlotPage(true, slot, complete, [.. summaries], [.. page.Records], position, stamp);
    }

    private bool CopyPart(int slot, ref ulong position, SlotPart page)
    {
        lock (table.LockOf(slot))
        {
            page.Begin();
            return table.CopyPart(slot, ref position, page);
        }
    }

    public SlotStateAnswer State(in SlotStateRequest request)
    {
        var mine = states.Current.View.Id;
        var complete = new SlotSet(new byte[request.Slots.Bits.Length]);
        if (mine.Digest == request.View.Digest && isConfident())
        {
            int end = Math.Min(request.Slots.Capacity, table.Slots);
            for (int slot = 0; slot < end; slot++)
            {
                if (request.Slots.Contains(slot) && states.Owns(slot) && states.MayVouch(slot))
                    complete.Add(slot);
            }
        }

        return new SlotStateAnswer(mine, complete, states.LearntAt is { } learnt
            ? (long)time.GetElapsedTime(learnt).TotalMilliseconds
            : SlotStateAnswer.Never);
    }
}
