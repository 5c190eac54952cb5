// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Transfer.Engine.Memory;

namespace Mooncake.Mesh.Tests.Transfer.Engine;

/// <summary>A task is final when every byte of it is accounted for, and not before.</summary>
public sealed class EngineWorkTests : IStoppable
{
    private const long Large = 3 * EngineWork.MostFrameBytes;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private readonly ManualTimeProvider _time = new();
    private readonly RegisteredRegion _region = new(4096, 1UL << 40, isRemote: true, block: null);
    private readonly EngineEntry[] _entries = new EngineEntry[EngineRequest.MostEntries];
    private readonly List<EngineWork> _over = [];
    private readonly LoadMeter _meter = new("x");
    private int _stops;

    void IStoppable.Stop() => _stops++;

    [Fact]
    public void A_deadline_ends_a_task_only_when_its_thread_has_let_go()
    {
        var (batch, work) = Make(Large);
        var ticket = Assert.Single(work.Start(1, EngineWork.MostFrameBytes, Limit, WorkTicket.Of));
        Assert.True(ticket.TryBegin(this));
        Assert.Equal(1, work.Take(_entries, out var opcode));
        Assert.Equal(TransferOpcode.Read, opcode);
        Assert.Equal(TransferState.Pending, batch.StatusOf(0).State);

        _time.Advance(Limit);
        Assert.Equal(1, _stops);
        Assert.Equal(TransferState.Pending, batch.StatusOf(0).State);
        Assert.Equal(0, work.Take(new EngineEntry[1], out _));

        // The connection broke because of the stop: that says nothing about the peer.
        work.Account(_entries.AsSpan(0, 1));
        Assert.False(batch.StatusOf(0).IsFinal);
        ticket.Finish(TransferOutcome.Unreachable);
        Assert.Equal(new TransferStatus(TransferState.Timeout, 0), batch.StatusOf(0));
        Assert.True(_region.IsIdle);
        Assert.Equal([work], _over);
        Assert.Equal(0UL, _meter.Load.InflightBytes);
    }

    [Fact]
    public void What_is_left_of_a_task_that_has_failed_is_not_moved_but_its_other_pieces_are_waited_for()
    {
        var (batch, work) = Make(Large, 100);
        var tickets = work.Start(2, EngineWork.MostFrameBytes, Limit, WorkTicket.Of);
        Assert.Equal(2, tickets.Length);
        var first = new EngineEntry[1];
        var second = new EngineEntry[1];
        Assert.Equal(1, work.Take(first, out _));
        Assert.Equal(1, work.Take(second, out _));
        Assert.Equal(first[0].Local + (nint)first[0].Length, second[0].Local);
        first[0].Status = EntryStatus.NotRegistered;
        work.Account(first);
        Assert.Equal(TransferState.Pending, batch.StatusOf(0).State);

        // The rest of the first task is skipped.
        Assert.Equal(1, work.Take(_entries, out _));
        Assert.Equal((1, 100), (_entries[0].Task, _entries[0].Length));
        Assert.Equal(TransferState.Pending, batch.StatusOf(0).State);
        second[0].Status = EntryStatus.Done;
        work.Account(second);
        Assert.Equal(new TransferStatus(TransferState.Failed, (ulong)second[0].Length), batch.StatusOf(0));
        Assert.Equal(EntryStatus.NotRegistered, batch.FailureOf(0));
        _entries[0].Status = EntryStatus.Done;
        work.Account(_entries.AsSpan(0, 1));
        Assert.Equal(TransferState.Completed, batch.StatusOf(1).State);
        Assert.Equal(TransferState.Failed, batch.Status().State);
        Assert.True(batch.IsOver);
    }

    [Fact]
    public void A_message_goes_out_when_all_of_its_requests_are_done_and_the_last_waits_for_it()
    {
        var sent = new List<BatchNotify>();
        var batch = new EngineBatch(1, 4);
        TransferRequest[] requests = [Request(10), Request(10)];
        var notify = new BatchNotify(new TransferNotify("a", "b"), (_, due) => sent.Add(due));
        Assert.Equal(0, batch.Begin(requests, notify));
        Assert.Equal(-1, batch.Begin([.. requests, Request(1)], null));
        batch.Ended(1, 10, EntryStatus.Done);
        Assert.Equal(TransferState.Completed, batch.StatusOf(1).State);
        Assert.Empty(sent);
        batch.Ended(0, 4, EntryStatus.Done);
        batch.Ended(0, 6, EntryStatus.Done);
        Assert.Equal([notify], sent);
        Assert.False(batch.StatusOf(0).IsFinal);
        var over = batch.WhenOver();
        Assert.False(over.IsCompleted);
        batch.Notified(notify, EntryStatus.Full);
        Assert.Equal(TransferState.Failed, batch.StatusOf(0).State);
        Assert.True(batch.IsOver);

        // Of requests of which one has failed nothing is told.
        var none = new BatchNotify(new TransferNotify("a", "b"), (_, due) => sent.Add(due));
        Assert.Equal(2, batch.Begin(requests, none));
        batch.Ended(2, 10, EntryStatus.Unreachable);
        batch.Ended(3, 10, EntryStatus.Done);
        Assert.Single(sent);
        Assert.Equal(TransferState.Completed, batch.StatusOf(3).State);
    }

    [Fact]
    public void Small_requests_go_together_and_opcodes_apart()
    {
        var batch = new EngineBatch(1, 1000);
        var requests = new TransferRequest[700];
        for (int i = 0; i < requests.Length; i++)
            requests[i] = Request(8) with { Opcode = i < 300 ? TransferOpcode.Write : TransferOpcode.Read };
        var work = WorkOf(batch, requests);
        work.Start(1, EngineWork.MostFrameBytes, Limit, WorkTicket.Of);
        List<int> counts = [];
        int count;
        while ((count = work.Take(_entries, out _)) > 0)
            counts.Add(count);
        Assert.Equal([256, 44, 256, 144], counts);
    }

    [Fact]
    public async Task What_cards_cannot_do_goes_another_way_and_what_they_refuse_does_not()
    {
        var (batch, work) = Make(Large, 100, 200);
        WorkTicket? other = null;
        var route = new DoubleRoute(EntryStatus.Done, EntryStatus.NotRemote, EntryStatus.Unreachable);
        var ticket = Assert.Single(work.Start(1, Large, Limit,
            w => new CardTicket(w, route, left => other = left.OneMore())));
        await ticket.RunAsync();
        Assert.Equal(TransferState.Completed, batch.StatusOf(0).State);
        Assert.Equal(EntryStatus.NotRemote, batch.FailureOf(1));
        Assert.False(batch.StatusOf(2).IsFinal);

        Assert.NotNull(other);
        Assert.Equal(1, work.Take(_entries, out _));
        Assert.Equal((2, 200), (_entries[0].Task, _entries[0].Length));
        _entries[0].Status = EntryStatus.Done;
        work.Account(_entries.AsSpan(0, 1));
        other.Finish(TransferOutcome.Done);
        Assert.Equal(new TransferStatus(TransferState.Completed, 200), batch.StatusOf(2));
        Assert.Equal([work], _over);
    }

    [Fact]
    public async Task Where_cards_are_the_only_way_what_they_cannot_do_has_failed()
    {
        var (batch, work) = Make(100);
        var ticket = Assert.Single(work.Start(1, Large, Limit,
            w => new CardTicket(w, new DoubleRoute(EntryStatus.Unreachable), leave: null)));
        await ticket.RunAsync();
        Assert.Equal(new TransferStatus(TransferState.Failed, 0), batch.StatusOf(0));
        Assert.Equal([work], _over);
    }

    private static TransferRequest Request(long length) =>
        new(TransferOpcode.Read, 4096, 1, 4096, (ulong)length);

    private (EngineBatch Batch, EngineWork Work) Make(params long[] lengths)
    {
        var batch = new EngineBatch(1, lengths.Length);
        return (batch, WorkOf(batch, Array.ConvertAll(lengths, Request)));
    }

    private EngineWork WorkOf(EngineBatch batch, TransferRequest[] requests)
    {
        var owner = new WorkOwner(_time, _meter, static () => EntryStatus.Unreachable, _over.Add);
        var work = new EngineWork(batch, null, owner, requests.Length);
        int first = batch.Begin(requests, null);
        for (int i = 0; i < requests.Length; i++)
        {
            Assert.True(_region.TryEnter());
            work.Add(requests[i], first + i, _region);
        }

        return work;
    }

    /// <summary>Stands in for cards: each piece ends as it was said beforehand.</summary>
    private sealed class DoubleRoute(params EntryStatus[] ends) : ICardRoute
    {
        private int _ended;

        public bool IsHopeful => true;

        public Task<bool> IsOpenAsync(TimeSpan patience) => Task.FromResult(true);

        public Task MoveAsync(TransferOpcode opcode, EngineEntry[] entries, int count, TimeSpan patience,
            CancellationToken stop)
        {
            for (int i = 0; i < count; i++)
                entries[i].Status = ends[_ended++];
            return Task.CompletedTask;
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
