// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using static Mooncake.Mesh.Tests.Segments.TestStores;

namespace Mooncake.Mesh.Tests.Segments;

/// <summary>
/// The eviction of the product in small: a store proposes in its policy's order, and an owner, here a set of marks,
/// refuses what was located since it was last proposed.
/// </summary>
public sealed class ClockEvictionTests
{
    private const int Cache = 400;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Marks_beat_insertion_order_on_conversations(int seed)
    {
        List<string> trace = Conversations(seed);
        double fifo = HitRatio(trace, new ClockEviction(), marking: false);
        double clock = HitRatio(trace, new ClockEviction(), marking: true);
        Assert.True(clock > fifo + 0.01, $"CLOCK {clock:F3}, FIFO {fifo:F3}");
    }

    [Fact]
    public void Another_policy_can_take_its_place()
    {
        List<string> trace = Conversations(4);
        double newestFirst = HitRatio(trace, new NewestFirst(), marking: false);
        double clock = HitRatio(trace, new ClockEviction(), marking: true);
        Assert.InRange(newestFirst, 0.01, 0.99);
        Assert.NotEqual(newestFirst, clock);
    }

    [Fact]
    public unsafe void The_queue_keeps_its_order_when_objects_leave_from_anywhere()
    {
        using ObjectStore store = Create(8 * Granule);
        var clock = new ClockEviction();
        HeldObject[] objects = [.. Enumerable.Range(0, 5).Select(i => Sealed(store, $"{i}", 1, 1))];
        HeldCell*[] held = [objects[0].Cell, objects[1].Cell, objects[2].Cell, objects[3].Cell, objects[4].Cell];
        foreach (HeldCell* one in held)
            clock.Added(one);
        clock.Removed(held[0]);
        clock.Removed(held[2]);
        clock.Removed(held[4]);
        clock.Removed(held[4]);
        Assert.True(held[1] == clock.Next());
        clock.Refused(held[1]);
        Assert.True(held[3] == clock.Next());
        clock.Removed(held[3]);
        Assert.True(held[1] == clock.Next());
        Assert.True(clock.Next() is null);
    }

    private static double HitRatio(List<string> trace, IEvictionPolicy policy, bool marking)
    {
        using ObjectStore store = Create(policy, Cache * Granule);
        var marks = new HashSet<string>();
        var victims = new List<HeldObject>();
        int hits = 0;
        foreach (string name in trace)
        {
            var key = new MeshKey(name);
            if (store.TryFind(key, out _))
            {
                hits++;
                if (marking)
                    marks.Add(name);
                continue;
            }

            MeshResult<Reservation> reservation = store.Reserve(key, 1, Granule);
            for (int passes = 0; !reservation.Succeeded && passes < 2 * Cache; passes++)
            {
                victims.Clear();
                store.ProposeVictims(Granule, victims);
                foreach (HeldObject victim in victims)
                {
                    if (marks.Remove(victim.Key.ToString()))
                        store.RefuseVictim(victim);
                    else
                        Assert.True(store.Drop(victim.Key, victim.ObjectId));
                }

                reservation = store.Reserve(key, 1, Granule);
            }

            Assert.True(store.Commit(store.Seal(reservation.Value, 0), Version(1)));
        }

        AddsUp(store);
        return (double)hits / trace.Count;
    }

    /// <summary>
    /// Turns of conversations: the blocks of a prompt of Zipf popularity, then the conversation's own chain, two
    /// blocks longer each turn; one conversation in eight ends at a turn and another takes its place.
    /// </summary>
    private static List<string> Conversations(int seed)
    {
        const int Active = 24;
        const int PromptBlocks = 6;
        var random = new Random(seed);
        var trace = new List<string>();
        (int Prompt, int Number, int Turns)[] active = new (int, int, int)[Active];
        int made = 0;
        while (trace.Count < 60_000)
        {
            ref (int Prompt, int Number, int Turns) turn = ref active[random.Next(Active)];
            if (turn.Turns == 0 || random.Next(8) == 0)
                turn = (Zipf(random, 200), made++, 0);
            turn.Turns++;
            for (int block = 0; block < PromptBlocks; block++)
                trace.Add($"prompt-{turn.Prompt}-{block}");
            for (int block = 0; block < 2 * turn.Turns; block++)
                trace.Add($"talk-{turn.Number}-{block}");
        }

        return trace;
    }

    private static int Zipf(Random random, int count)
    {
        double total = 0;
        for (int rank = 1; rank <= count; rank++)
            total += 1.0 / rank;
        double draw = random.NextDouble() * total;
        int chosen = 0;
        for (int rank = 1; rank <= count && draw > 0; rank++)
        {
            draw -= 1.0 / rank;
            chosen = rank;
        }

        return chosen;
    }

    private sealed unsafe class NewestFirst : IEvictionPolicy
    {
        private readonly LinkedList<nint> _order = new();

        public void Added(HeldCell* held) => _order.AddLast((nint)held);

        public void Removed(HeldCell* held) => _order.Remove((nint)held);

        public void Moved(HeldCell* held, HeldCell* now) => _order.Find((nint)held)?.ValueRef = (nint)now;

        public HeldCell* Next()
        {
            nint next = _order.Last?.Value ?? 0;
            if (next != 0)
                _order.RemoveLast();
            return (HeldCell*)next;
        }

        public void Refused(HeldCell* held) => _order.AddFirst((nint)held);
    }
}
