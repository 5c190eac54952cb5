// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// The source's side of slot streaming: pages of whole slots, each with its count and digest taken under the same lock
/// as its records. A source answers only once it is in the asker's view, so that it no longer decides for the slot.
/// </summary>
internal sealed class SlotStreamer(DirectoryTable table, SlotStates states, Func<MeshView> view)
{
    private const int SlotsPerPage = 16_384;

    public SlotPage Pull(in SlotPullRequest request)
    {
        var mine = view().Id;
        var complete = new SlotSet(new byte[request.Slots.Bits.Length]);
        if (request.View.IsNewerThan(mine) && request.View.Digest != mine.Digest)
            return new SlotPage(false, request.From, complete, [], []);
        var records = new List<KeyedRecord>();
        var summaries = new List<SlotSummary>();
        int bytes = 0, seen = 0;
        int slot = Math.Max(0, request.From);
        int end = Math.Min(request.Slots.Capacity, table.Slots);
        for (; slot < end && bytes < Wire.BatchBytes && records.Count < Wire.MaxBatch && seen < SlotsPerPage; slot++)
        {
            if (!request.Slots.Contains(slot))
                continue;
            seen++;
            int before = records.Count;
            bool fits;
            lock (table.LockOf(slot))
                fits = TakeSlot(slot, records, summaries, ref bytes);
            if (!fits && before > 0)
                break;
            if (fits && (states.IsComplete(slot) || states.IsLost(slot)))
                complete.Add(slot);
        }

        return new SlotPage(true, slot >= end ? table.Slots : slot, complete, [.. summaries], [.. records]);
    }

    public SlotStateAnswer State(in SlotStateRequest request)
    {
        var mine = view().Id;
        var complete = new SlotSet(new byte[request.Slots.Bits.Length]);
        if (mine.Digest == request.View.Digest)
        {
            int end = Math.Min(request.Slots.Capacity, table.Slots);
            for (int slot = 0; slot < end; slot++)
            {
                if (request.Slots.Contains(slot) && states.Owns(slot) && states.IsComplete(slot))
                    complete.Add(slot);
            }
        }

        return new SlotStateAnswer(mine, complete);
    }

    /// <summary>
    /// Adds a slot whole, or not at all when the page would be over its bounds. A slot of more records than a page can
    /// carry is never complete from here: its owner reconciles it with the holders instead.
    /// </summary>
    private bool TakeSlot(int slot, List<KeyedRecord> records, List<SlotSummary> summaries, ref int bytes)
    {
        int count = table.CountOf(slot);
        if (count == 0)
            return true;
        if (count + records.Count > Wire.MaxBatch || summaries.Count >= Wire.MaxBatch)
            return false;
        int start = records.Count;
        table.CopySlot(slot, records);
        int added = 0;
        for (int i = start; i < records.Count; i++)
            added += records[i].WireBytes;
        if (added + bytes > Wire.MaxFrame - (256 * 1024))
        {
            records.RemoveRange(start, records.Count - start);
            return false;
        }

        bytes += added;
        summaries.Add(table.Summarize(slot));
        return true;
    }
}
