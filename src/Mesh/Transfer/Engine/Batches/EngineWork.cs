// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Staging;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine.Batches;

/// <summary>
/// Requests of one batch that go the same way. Threads take pieces of them, each through a <see cref="WorkTicket"/>,
/// until none is left; when the last of these has ended, what nobody took has failed. Thread-safe.
/// </summary>
internal sealed class EngineWork
{
    /// <summary>Longest piece of a request, and most bytes that are taken together, where they are copied.</summary>
    public const long MostRunBytes = 4 << 20;

    /// <summary>
    /// The same over sockets: what lies in their buffers meanwhile is to stay in the processor's caches. Benchmark:
    /// "mooncake-mesh bench transfer --transport engine".
    /// </summary>
    public const long MostFrameBytes = 1 << 20;

    /// <summary>Fewest bytes that are taken together, where there are as many.</summary>
    public const long LeastRunBytes = 256 << 10;

    /// <summary>How long a device may stand still in the midst of a piece, here and at the target.</summary>
    public static readonly TimeSpan DevicePatience = BlockingSocket.NoProgress;

    private static readonly TimerCallback OnDeadline = static work => ((EngineWork)work!).Stop(EntryStatus.Late);

    private readonly Lock _gate = new();
    private readonly EngineBatch _batch;
    private readonly WorkOwner _owner;
    private readonly List<TransferJob> _tickets = new(2);
    private readonly Stack<EngineEntry> _again = new();
    private readonly TransferRequest[] _requests;
    private readonly RegisteredRegion[] _regions;
    private readonly int[] _tasks;
    private ITimer? _timer;
    private MoveLimit _limit;
    private long _runBytes = MostRunBytes;
    private int _count;
    private int _next;
    private long _offset;
    private int _openTickets;
    private EntryStatus _stopped;

    /// <param name="batch">The batch.</param>
    /// <param name="path">Who copies; null: it goes over cards or sockets.</param>
    /// <param name="owner">Whose work it is.</param>
    /// <param name="most">Most requests.</param>
    /// <param name="device">The device that all of it waits for; null: there is none.</param>
    public EngineWork(EngineBatch batch, ICopyPath? path, WorkOwner owner, int most, RegionDevice? device = null)
    {
        Device = device;
        _batch = batch;
        _owner = owner;
        Path = path;
        _requests = EngineArrays<TransferRequest>.Pool.Rent(most);
        _regions = EngineArrays<RegisteredRegion>.Pool.Rent(most);
        _tasks = EngineArrays<int>.Pool.Rent(most);
    }

    /// <summary>Who copies; null: it goes over cards or sockets.</summary>
    public ICopyPath? Path { get; }

    /// <summary>
    /// The device that all of it waits for: that of the sources, or in one's own memory of either end; null: none.
    /// </summary>
    public RegionDevice? Device { get; }

    /// <summary>What bounds a piece that waits for a device.</summary>
    /// <param name="stop">The ticket that does it.</param>
    public MoveBounds BoundsOf(IMoveStop stop)
    {
        var left = _limit.Left;
        return new MoveBounds(left < DevicePatience ? left : DevicePatience, stop);
    }

    /// <summary>What counts the bytes.</summary>
    public LoadMeter Meter => _owner.Meter;

    /// <summary>Bytes of all requests.</summary>
    public long Bytes { get; private set; }

    /// <summary>Adds a request that is not empty; before any ticket is made.</summary>
    /// <param name="request">The request.</param>
    /// <param name="task">Its number in the batch.</param>
    /// <param name="region">The registered memory that its source is in, entered; left at the end.</param>
    public void Add(in TransferRequest request, int task, RegisteredRegion region)
    {
        _requests[_count] = request;
        _tasks[_count] = task;
        _regions[_count++] = region;
        Bytes += (long)request.Length;
    }

    /// <summary>Whether a range's registration is used by it.</summary>
    public bool Uses(RegisteredRegion region) => Array.IndexOf(_regions, region, 0, _count) >= 0;

    /// <summary>Does all of it on this thread, by copies; none of them waits for a device.</summary>
    public void RunHere(Span<EngineEntry> entries)
    {
        Meter.Begin(Bytes);
        long start = _owner.Time.GetTimestamp();
        int count;
        while ((count = Take(entries, out var opcode)) > 0)
        {
            Path!.Copy(opcode, entries[..count], default);
            Account(entries[..count]);
        }

        Meter.Measure(Bytes, _owner.Time.GetElapsedTime(start));
        EndAll();
    }

    /// <summary>Does nothing of it.</summary>
    public void GiveUp(EntryStatus why)
    {
        Meter.Begin(Bytes);
        _stopped = why;
        EndAll();
    }

    /// <summary>Makes the tickets by which so many threads, or lanes, at most do it, and starts the clock.</summary>
    /// <param name="most">Most tickets.</param>
    /// <param name="mostRunBytes">Most bytes that are taken together.</param>
    /// <param name="limit">How long it may take.</param>
    /// <param name="make">Makes a ticket.</param>
    public TTicket[] Start<TTicket>(int most, long mostRunBytes, TimeSpan limit, Func<EngineWork, TTicket> make)
        where TTicket : TransferJob
    {
        _runBytes = Math.Clamp(Bytes / most, LeastRunBytes, mostRunBytes);
        long runs = Math.Max((Bytes + _runBytes - 1) / _runBytes, _count / EngineRequest.MostEntries);
        var tickets = new TTicket[(int)Math.Clamp(runs, 1, most)];
        for (int i = 0; i < tickets.Length; i++)
            tickets[i] = make(this);
        lock (_gate)
        {
            _openTickets = tickets.Length;
            _tickets.AddRange(tickets);
        }

        Meter.Begin(Bytes);
        _limit = new MoveLimit(_owner.Time, limit);
        _timer = _owner.Time.CreateTimer(OnDeadline, this, limit, Timeout.InfiniteTimeSpan);
        return tickets;
    }

    /// <summary>
    /// One more ticket, by which what was put back goes another way; called while another ticket has not ended.
    /// </summary>
    /// <returns>The ticket; null: it has been stopped.</returns>
    public WorkTicket? OneMore()
    {
        lock (_gate)
        {
            if (_stopped != 0)
                return null;
            var ticket = new WorkTicket(this);
            _openTickets++;
            _tickets.Add(ticket);
            return ticket;
        }
    }

    /// <summary>Of pieces that were taken, those not reached are taken again; the others have ended.</summary>
    public void PutBackUnreachable(ReadOnlySpan<EngineEntry> entries)
    {
        foreach (ref readonly var entry in entries)
        {
            if (entry.Status != EntryStatus.Unreachable)
            {
                End(entry.Task, entry.Length, entry.Status);
                continue;
            }

            lock (_gate)
                _again.Push(entry);
        }
    }

    /// <summary>Takes the next pieces; 0: there are none left, or it has been stopped.</summary>
    public int Take(Span<EngineEntry> entries, out TransferOpcode opcode)
    {
        int taken = 0;
        long room = _runBytes;
        opcode = default;
        lock (_gate)
        {
            if (_stopped == 0 && _again.Count > 0)
                return TakeAgain(entries, out opcode);
            while (_stopped == 0 && _next < _count && taken < entries.Length && room > 0)
            {
                ref readonly var request = ref _requests[_next];
                long left = (long)request.Length - _offset;
                if (_batch.HasFailed(_tasks[_next]))
                {
                    End(_tasks[_next], left, EntryStatus.Unreachable);
                    Advance();
                    continue;
                }

                if (taken > 0 && request.Opcode != opcode)
                    break;
                opcode = request.Opcode;
                long length = Math.Min(left, room);
                entries[taken++] = new EngineEntry
                {
                    Task = _tasks[_next],
                    Local = request.Source + (nint)_offset,
                    Remote = request.TargetOffset + (ulong)_offset,
                    Length = length,
                    Status = EntryStatus.Unreachable,
                    Region = _regions[_next],
                    Opcode = opcode,
                };
                _batch.Started(_tasks[_next]);
                room -= length;
                _offset += length;
                if (_offset == (long)request.Length)
                    Advance();
            }
        }

        return taken;
    }

    /// <summary>Pieces that were taken have ended: nothing touches their memory any more.</summary>
    public void Account(ReadOnlySpan<EngineEntry> entries)
    {
        foreach (ref readonly var entry in entries)
        {
            // A connection that broke because of the stop says nothing about the peer.
            var status = entry.Status == EntryStatus.Unreachable ? WhyUnreachable() : entry.Status;
            End(entry.Task, entry.Length, status);
        }
    }

    /// <summary>Takes nothing more, and breaks what is under way.</summary>
    public void Stop(EntryStatus why)
    {
        TransferJob[] tickets;
        lock (_gate)
        {
            if (_stopped != 0)
                return;
            _stopped = why;
            tickets = [.. _tickets];
        }

        foreach (var ticket in tickets)
            ticket.Stop();
    }

    /// <summary>A ticket has ended; called once for each.</summary>
    public void TicketEnded()
    {
        lock (_gate)
        {
            if (--_openTickets > 0)
                return;
        }

        _timer?.Dispose();
        EndAll();
    }

    /// <summary>Takes pieces that were put back, all of one way; under the gate.</summary>
    private int TakeAgain(Span<EngineEntry> entries, out TransferOpcode opcode)
    {
        int taken = 0;
        opcode = _again.Peek().Opcode;
        while (taken < entries.Length && _again.TryPeek(out var entry) && entry.Opcode == opcode)
            entries[taken++] = _again.Pop();
        return taken;
    }

    private void End(int task, long bytes, EntryStatus status)
    {
        // First: whoever sees the end of the last task sees that nothing is on its way.
        Meter.End(bytes);
        _batch.Ended(task, bytes, status);
    }

    private void Advance()
    {
        _next++;
        _offset = 0;
    }

    private EntryStatus WhyUnreachable()
    {
        lock (_gate)
            return _stopped != 0 ? _stopped : _owner.Failure();
    }

    /// <summary>What nobody took has failed, and the sources are let go.</summary>
    private void EndAll()
    {
        var why = WhyUnreachable();
        while (_again.TryPop(out var entry))
            End(entry.Task, entry.Length, why);
        for (; _next < _count; Advance())
            End(_tasks[_next], (long)_requests[_next].Length - _offset, why);
        for (int i = 0; i < _count; i++)
            _regions[i].Leave();
        _owner.Over(this);
        EngineArrays<RegisteredRegion>.Pool.Return(_regions, clearArray: true);
        EngineArrays<TransferRequest>.Pool.Return(_requests);
        EngineArrays<int>.Pool.Return(_tasks);
    }
}

/// <summary>Whose work it is.</summary>
/// <param name="Time">Clock.</param>
/// <param name="Meter">What counts the bytes.</param>
/// <param name="Failure">Why the target cannot be reached, once it could not be.</param>
/// <param name="Over">Called at the end of each work.</param>
internal sealed record WorkOwner(TimeProvider Time, LoadMeter Meter, Func<EntryStatus> Failure,
    Action<EngineWork> Over);
