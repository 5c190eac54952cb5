// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Rails;
using Mooncake.Mesh.Verbs.Queues;

namespace Mooncake.Mesh.Verbs.Transfers;

/// <summary>
/// A process at the other end of queue pairs, and what is to be moved to and from it. Each card here is a rail: slices
/// go over all of them, and one that is lost with its queue pair goes over another. Thread-safe under one lock, held
/// while slices are handed to the cards.
/// </summary>
internal sealed class RdmaPeer
{
    /// <summary>Queue pairs that may break under one batch before it is given up.</summary>
    private const int MostBreaks = 8;

    private readonly Lock _gate = new();
    private readonly WaitingBatches _waiting = new();
    private readonly List<TaskCompletionSource<bool>> _ready = [];
    private readonly TimeProvider _time;
    private readonly PeerRails _rails;
    private ITimer? _timer;
    private bool _isClosed;

    /// <param name="cards">The cards here.</param>
    /// <param name="preferences">Which of them serve which memory.</param>
    /// <param name="connector">Makes queue pairs; null: the peer makes them.</param>
    /// <param name="time">Clock.</param>
    /// <param name="log">Told of queue pairs that break.</param>
    public RdmaPeer(IReadOnlyList<RailPort> cards, RailPreferences preferences, IConnector? connector,
        TimeProvider time, ILogger log)
    {
        _time = time;
        _rails = new PeerRails(this, cards, preferences, connector, time, log);
    }

    /// <summary>What the rails have done.</summary>
    public RailCount[] Counts => _rails.Board.Counts();

    /// <summary>Moves the bytes of a batch. Its task ends once nothing of it is on its way.</summary>
    public Task<TransferOutcome> RunAsync(RdmaBatch batch)
    {
        lock (_gate)
        {
            if (_isClosed)
                batch.Stop(TransferOutcome.Unreachable);
            else
                _waiting.Add(batch);
            PumpLocked();
        }

        return batch.Ended;
    }

    /// <summary>Waits until there is a queue pair; false: none can be made.</summary>
    public Task<bool> ReadyAsync()
    {
        var ready = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            _ready.Add(ready);
            PumpLocked();
        }

        return ready.Task;
    }

    /// <summary>
    /// Gives a batch up. What is on its way is not waited for: its queue pairs are broken, and the batch ends once they
    /// have given everything back (rule A4).
    /// </summary>
    public Task<TransferOutcome> GiveUpAsync(RdmaBatch batch, TransferOutcome outcome)
    {
        lock (_gate)
        {
            batch.Stop(outcome);
            if (batch.IsUnderWay)
                _rails.BreakWhere(endpoint => endpoint.Carries(batch));
            PumpLocked();
        }

        return batch.Ended;
    }

    /// <summary>Breaks every queue pair: the peer reads and writes nothing here once this has ended.</summary>
    public async Task BreakAllAsync()
    {
        Endpoint[] alive;
        List<Attempt> made;
        lock (_gate)
        {
            alive = [.. _rails.Alive];
            made = _rails.GiveUpAttempts();
            _rails.BreakWhere(static _ => true);
            PumpLocked();
        }

        foreach (var endpoint in alive)
            await endpoint.Ended.Task;
        foreach (var attempt in made)
        {
            await attempt.Ended;
            await (attempt.Endpoint?.Ended.Task ?? Task.CompletedTask);
        }
    }

    /// <summary>Breaks the queue pairs that the peer says are broken at its end.</summary>
    public void Break((int From, int To)[] pairs)
    {
        lock (_gate)
        {
            _rails.BreakWhere(endpoint => Array.IndexOf(pairs, (endpoint.Rail, endpoint.RemoteCard)) >= 0);
            PumpLocked();
        }
    }

    /// <summary>The queue pairs that work, as (the peer's card, ours).</summary>
    public HashSet<(int From, int To)> Working()
    {
        lock (_gate)
            return _rails.Working();
    }

    /// <summary>Takes in a queue pair that the peer has connected, in the place of an earlier one.</summary>
    public void Install(Endpoint endpoint)
    {
        lock (_gate)
        {
            _rails.BreakWhere(earlier => earlier.Rail == endpoint.Rail
                && earlier.RemoteCard == endpoint.RemoteCard);
            _rails.Install(endpoint);
            if (_isClosed)
                _rails.Break(endpoint, null);
            PumpLocked();
        }
    }

    /// <summary>An attempt to connect a card has ended; null: in vain.</summary>
    public void Connected(int card, Endpoint? endpoint)
    {
        lock (_gate)
        {
            _rails.Connected(card, endpoint);
            if (_isClosed && endpoint is not null)
                _rails.Break(endpoint, null);
            PumpLocked();
        }
    }

    /// <summary>A card is lost, or its port is down: its queue pairs carry nothing more.</summary>
    public void CardDown(int card, in RailPort port)
    {
        lock (_gate)
        {
            _rails.CardDown(card, port);
            PumpLocked();
        }
    }

    /// <summary>Waits until no queue pair is left on a card that is lost.</summary>
    public void WaitForEnd(int card)
    {
        Endpoint[] alive;
        lock (_gate)
            alive = [.. _rails.Alive];
        foreach (var endpoint in alive)
        {
            if (endpoint.Rail == card)
                endpoint.Ended.Task.Wait();
        }
    }

    /// <summary>A card is back.</summary>
    public void CardUp(int card, in RailPort port)
    {
        lock (_gate)
        {
            _rails.CardUp(card, port);
            PumpLocked();
        }
    }

    /// <summary>Ends everything; what waits ends as unreachable.</summary>
    public async Task CloseAsync()
    {
        lock (_gate)
        {
            _isClosed = true;
            _timer?.Dispose();
            StopAll();
        }

        await BreakAllAsync();
    }

    /// <summary>A slice has ended at its card; <see cref="Pump"/> is to follow.</summary>
    public void Completed(Endpoint endpoint, int slot, WorkStatus status)
    {
        lock (_gate)
        {
            var flight = endpoint.Release(slot);
            if (flight.Batch is not { } batch)
                return;
            if (status == WorkStatus.Success)
            {
                // A byte that may not choose its rail says nothing about how fast that is.
                if (batch.RequestOf(flight.Slice).Over is null)
                    _rails.Board.Arrived(flight.Placed);
                else
                    _rails.Board.Ended(flight.Placed);
                _rails.Well(endpoint.Rail);
                batch.Arrived(endpoint, flight.Slice);
            }
            else
            {
                Lost(endpoint, flight, status);
            }

            _rails.EndIfOver(endpoint);
        }
    }

    /// <summary>Sends what can be sent.</summary>
    public void Pump()
    {
        lock (_gate)
            PumpLocked();
    }

    /// <summary>Destroys a queue pair over which nothing is on its way.</summary>
    public void End(Endpoint endpoint)
    {
        endpoint.Life.Destroy(endpoint);
        lock (_gate)
        {
            _rails.Ended(endpoint);
            PumpLocked();
        }
    }

    /// <summary>Destroys a queue pair that does not give back what is on its way over it.</summary>
    public void EndByForce(Endpoint endpoint)
    {
        lock (_gate)
        {
            if (endpoint.IsEnding)
                return;
            endpoint.IsEnding = true;
        }

        endpoint.Life.Destroy(endpoint);
        lock (_gate)
        {
            foreach (int slot in endpoint.Slots())
                Lost(endpoint, endpoint.Release(slot), WorkStatus.Flushed);
            _rails.Ended(endpoint);
            PumpLocked();
        }
    }

    private void Lost(Endpoint endpoint, in Flight flight, WorkStatus status)
    {
        var batch = flight.Batch!;
        if (status == WorkStatus.RemoteAccessError)
            batch.Refused();
        if (endpoint.Watch is null)
            Broke(endpoint, batch, status.ToString());
        if (endpoint.IsFaulty)
            _rails.Board.Failed(flight.Placed);
        else
            _rails.Board.Ended(flight.Placed);
        batch.Lost(flight.Slice);
        _waiting.Add(batch);
    }

    private void Broke(Endpoint endpoint, RdmaBatch batch, string fault)
    {
        _rails.Break(endpoint, fault);
        if (++batch.Breaks > MostBreaks)
            batch.Stop(TransferOutcome.Unreachable);
    }

    private void PumpLocked()
    {
        if (_waiting.IsEmpty && _ready.Count == 0)
            return;
        if (!_isClosed)
            _rails.Connect();
        if (_rails.IsConnected)
            TellReady(true);
        if (!_isClosed)
            _waiting.Send(this, _rails.IsUniform);
        PostAll();
        bool hopeless = !_rails.IsConnected && !_rails.IsConnecting && !_rails.IsUnderWay;
        if (hopeless || _isClosed)
            StopAll();
    }

    /// <summary>Gives a slice to a queue pair; false: none can take one now.</summary>
    /// <remarks>Under the lock.</remarks>
    internal bool TrySend(RdmaBatch batch, in RdmaSlice slice)
    {
        ref readonly var request = ref batch.RequestOf(slice);
        if (request.Over is { } only && !_rails.IsCurrent(only))
        {
            batch.Stop(TransferOutcome.Unreachable);
            return true;
        }

        var choice = request.Over is { } over ? _rails.Only(over.Rail)
            : _rails.ChoiceFor(request.Memory.LocationOf(request.Local + (nint)slice.Offset));
        if (!_rails.Board.TryPlace(choice, slice.Length, out var placed, out var retryAfter))
        {
            batch.PutBack(slice);
            if (_rails.IsConnected && !_rails.IsUnderWay)
                PumpAfter(retryAfter);
            return false;
        }

        var endpoint = _rails.Current(placed.Rail);
        if (!endpoint.HasRoom)
        {
            _rails.Board.Ended(placed);
            batch.PutBack(slice);
            return false;
        }

        if (!endpoint.TryWork(batch, slice, out var work))
        {
            // Not reached over these two cards: connected anew, it comes with keys that are.
            batch.PutBack(slice);
            _rails.Board.Failed(placed);
            Broke(endpoint, batch, "no key at this card");
            return true;
        }

        batch.Sent();
        if (endpoint.Add(new Flight { Batch = batch, Slice = slice, Placed = placed }, ref work))
            PostAll();
        return true;
    }

    /// <summary>All together: none waits until another has got the whole of a batch.</summary>
    private void PostAll()
    {
        for (int i = 0; i < _rails.Alive.Count; i++)
            Post(_rails.Alive[i]);
    }

    private void Post(Endpoint endpoint)
    {
        if (!endpoint.HasPending)
            return;
        int left = endpoint.Post(out int errno);
        for (int i = 0; i < left; i++)
            Lost(endpoint, endpoint.Release(endpoint.NotTaken(i)), WorkStatus.Flushed);
        if (errno == 0)
            return;
        // Also where all were taken: the card may not have been told of them.
        _rails.Break(endpoint, "the card took no work");
        _rails.EndIfOver(endpoint);
    }

    private void PumpAfter(TimeSpan pause)
    {
        _timer ??= _time.CreateTimer(static peer => ((RdmaPeer)peer!).Pump(), this, Timeout.InfiniteTimeSpan,
            Timeout.InfiniteTimeSpan);
        _timer.Change(pause > TimeSpan.Zero ? pause : TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
    }

    private void TellReady(bool ready)
    {
        foreach (var waiter in _ready)
            waiter.TrySetResult(ready);
        _ready.Clear();
    }

    private void StopAll()
    {
        TellReady(false);
        _waiting.Stop(TransferOutcome.Unreachable);
    }
}
