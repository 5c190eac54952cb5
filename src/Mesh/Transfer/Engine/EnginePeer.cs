// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Transfer.Engine.Local;
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Engine.Tcp;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>
/// Another process that a segment leads to, in one of its lives: connections to it are refused by any other process
/// that may answer at its address. Thread-safe.
/// </summary>
internal sealed class EnginePeer
{
    /// <summary>Most jobs that wait for its connections.</summary>
    public const int MostWaiting = 4096;

    /// <summary>How much longer than a device there its answer is waited for.</summary>
    private static readonly TimeSpan AnswerAfter = TimeSpan.FromSeconds(2);

    private readonly EngineQueues _queues;
    private readonly EngineDialer _dialer;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private BlockingSocket? _sign;
    private volatile int _failure = (int)EntryStatus.Unreachable;
    private volatile bool _doubtful;

    /// <summary>Jobs of the cards, and one more until the peer is retired.</summary>
    private int _overCards = 1;

    /// <param name="address">Its host:port.</param>
    /// <param name="incarnation">Which process it is.</param>
    /// <param name="session">How it is copied with, or null.</param>
    /// <param name="sign">Else: a connection that stays open as the sign that it lives; owned from now on.</param>
    /// <param name="cards">The cards' way to it, owned from now on; null: there is none.</param>
    /// <param name="parts">What peers share.</param>
    public EnginePeer(string address, ulong incarnation, LocalSession? session, BlockingSocket? sign,
        ICardRoute? cards, PeerParts parts)
    {
        _sign = sign;
        Address = address;
        Incarnation = incarnation;
        Session = session;
        Cards = cards;
        _dialer = parts.Dialer;
        _time = parts.Time;
        _queues = new EngineQueues("mesh-engine", new JobQueueBounds(parts.Connections, MostWaiting,
            TcpTransport.IdleLimit), parts.Time, () => new EngineWorker(Dial, () => _doubtful = true));
        OverTcp = new WorkOwner(parts.Time, parts.Tcp, () => (EntryStatus)_failure, parts.Over);
        var copies = session is { HasCma: true } ? parts.Cma : parts.Shm;
        ByCopies = new WorkOwner(parts.Time, copies, static () => EntryStatus.Unreachable, parts.Over);
        OverCards = new WorkOwner(parts.Time, parts.Rdma, static () => EntryStatus.Unreachable, parts.Over);
        Connections = parts.Connections;
    }

    /// <summary>Its host:port.</summary>
    public string Address { get; }

    /// <summary>Which process it is.</summary>
    public ulong Incarnation { get; }

    /// <summary>How it is copied with; null: it is on another host, or the two may not.</summary>
    public LocalSession? Session { get; }

    /// <summary>The cards' way to it; null: one of the two has no cards in use.</summary>
    public ICardRoute? Cards { get; }

    /// <summary>Most connections; of what waits for a device, as many more for each.</summary>
    public int Connections { get; }

    /// <summary>Owner of what goes over its connections.</summary>
    public WorkOwner OverTcp { get; }

    /// <summary>Owner of what cards move.</summary>
    public WorkOwner OverCards { get; }

    /// <summary>Owner of what is copied.</summary>
    public WorkOwner ByCopies { get; }

    /// <summary>Whether its session, where it has one, is of use.</summary>
    public bool IsSound => Session is null or { IsAlive: true };

    /// <summary>Whether it is seen, without asking, to be the living process that it was.</summary>
    public bool IsSurelyThere
    {
        get
        {
            lock (_gate)
                return !_doubtful && (Session?.IsAlive ?? _sign?.IsQuiet() ?? false);
        }
    }

    /// <summary>It has been asked and is there: a new sign of it; owned from now on.</summary>
    public void Confirm(BlockingSocket sign)
    {
        lock (_gate)
        {
            // A session is the sign by itself.
            var old = Session is null ? _sign : sign;
            if (Session is null)
                _sign = sign;
            _doubtful = false;
            old?.Dispose();
        }
    }

    /// <summary>Gives it a job; one that it cannot take ends at once.</summary>
    /// <param name="job">The job.</param>
    /// <param name="device">The device that it waits for, or null.</param>
    public void Add(EngineJob job, RegionDevice? device = null)
    {
        if (!_queues.TryAdd(job, device))
            job.Finish(TransferOutcome.Unreachable);
    }

    /// <summary>Has cards do a job; for a peer that has <see cref="Cards"/>.</summary>
    public void Add(CardTicket ticket)
    {
        Interlocked.Increment(ref _overCards);
        _ = RunAsync(ticket);
    }

    /// <summary>Takes over what cards could not do.</summary>
    public void Take(EngineWork work)
    {
        if (work.OneMore() is { } ticket)
            Add(ticket, work.Device);
    }

    /// <summary>Takes no more jobs; what is under way is still done.</summary>
    public void Retire()
    {
        _queues.Retire();
        EndSigns();
        LeaveCards();
    }

    /// <summary>Cuts what is under way, and waits for the threads.</summary>
    public async ValueTask CloseAsync()
    {
        await _queues.DisposeAsync();
        EndSigns();
        if (Cards is not null)
            await Cards.DisposeAsync();
    }

    private async Task RunAsync(CardTicket ticket)
    {
        await ticket.RunAsync();
        LeaveCards();
    }

    /// <summary>A job of the cards is over, or no more come: the last of these ends their way.</summary>
    private void LeaveCards()
    {
        if (Interlocked.Decrement(ref _overCards) == 0)
            _ = Cards?.DisposeAsync().AsTask();
    }

    private void EndSigns()
    {
        lock (_gate)
        {
            _sign?.Dispose();
            _sign = null;
        }

        Session?.Dispose();
    }

    private EngineConnection? Dial(CancellationToken closing)
    {
        var dialled = _dialer.Dial(Address, Incarnation, closing);
        if (dialled.Succeeded)
        {
            // A device there is given a while, and its failure is to be heard of; where the kernel refuses, the peer is
            // given up sooner.
            _ = dialled.Value.Socket.TrySetPatience(EngineWork.DevicePatience + AnswerAfter);
            return new EngineConnection(dialled.Value.Socket, _time);
        }

        _doubtful = true;
        _failure = (int)(dialled.Error!.Code == TransferErrorCode.Endpoint
            ? EntryStatus.OtherLife
            : EntryStatus.Unreachable);
        return null;
    }
}

/// <summary>What the peers of an engine share.</summary>
/// <param name="Dialer">Opens connections.</param>
/// <param name="Connections">Most connections to a peer.</param>
/// <param name="Time">Clock.</param>
/// <param name="Tcp">Counts what goes over sockets.</param>
/// <param name="Cma">Counts what the kernel copies.</param>
/// <param name="Shm">Counts what goes by shared memory.</param>
/// <param name="Rdma">Counts what goes over cards.</param>
/// <param name="Over">Told of each work that is over.</param>
/// <param name="RouteTo">The cards' way to a process at an address, or null.</param>
internal sealed record PeerParts(EngineDialer Dialer, int Connections, TimeProvider Time, LoadMeter Tcp, LoadMeter Cma,
    LoadMeter Shm, LoadMeter Rdma, Action<EngineWork> Over, Func<string, ulong, ICardRoute?> RouteTo);
