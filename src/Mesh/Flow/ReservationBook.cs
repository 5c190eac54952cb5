// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Shm;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Reservations whose bytes are on their way. Each ends by seal, abandon, its deadline, or with the connection it was
/// made on; never while its bytes are being written (the write ends first). One that a process of this host fills
/// itself, in shared memory, ends by seal, abandon or with that process alone: until then it may be written to at any
/// time. Thread-safe.
/// </summary>
internal sealed class ReservationBook(ObjectStore store, MeshRuntime runtime) : IReservedMemory
{
    /// <summary>Most reservations open at one holder.</summary>
    public const int MaxReservations = 4096;

    /// <summary>Longest time for the bytes of a reservation to arrive, whatever its caller's deadline.</summary>
    public static readonly TimeSpan LongestReservation = TimeSpan.FromMinutes(10);

    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(2);

    /// <summary>Most abandoned reservations that are remembered because they have not been made yet.</summary>
    private const int MostEarly = 1024;

    private readonly Dictionary<ulong, Entry> _entries = [];
    private readonly Queue<ulong> _early = new();

    /// <summary>Reservations open now.</summary>
    public int Count
    {
        get
        {
            lock (_entries)
                return _entries.Count;
        }
    }

    /// <summary>Notes a reservation.</summary>
    /// <returns>The id, or Busy when there are too many: the reservation has been freed.</returns>
    public MeshResult<ulong> Add(Reservation reservation, PutHead head, PeerChannel? from)
    {
        ulong id = runtime.Random.NextUInt64();
        var limit = TimeSpan.FromMilliseconds(head.TimeoutMilliseconds);
        if (limit > LongestReservation)
            limit = LongestReservation;
        lock (_entries)
        {
            if (_entries.Count < MaxReservations)
            {
                _entries.Add(id, new Entry(reservation, head, runtime.Time.GetTimestamp(), limit + Slack, from));
                return id;
            }
        }

        store.Abort(reservation);
        return new MeshError(MeshErrorCode.Busy, "reserve",
            $"{MaxReservations} reservations are open at this holder, its limit");
    }

    /// <summary>Notes a reservation that a process of this host fills itself, under the id it chose.</summary>
    /// <returns>False, and it is freed, when the process has ended, the id is taken or was abandoned before it came, or
    /// too many are open.</returns>
    public bool TryAddOwned(ulong id, Reservation reservation, PutHead head, ClientProcess owner)
    {
        lock (_entries)
        {
            // An end that comes from now on finds the entry.
            var entry = new Entry(reservation, head, runtime.Time.GetTimestamp(), TimeSpan.MaxValue, null, owner);
            if (!owner.IsGone && _entries.Count < MaxReservations && !_early.Contains(id) && _entries.TryAdd(id, entry))
                return true;
        }

        store.Abort(reservation);
        owner.Unreserve(reservation.Size);
        return false;
    }

    /// <summary>Frees what a process had reserved: it has ended, or has let go.</summary>
    public void End(ClientProcess owner)
    {
        var left = new List<ulong>();
        lock (_entries)
        {
            foreach (var (id, entry) in _entries)
            {
                if (entry.Owner == owner)
                    left.Add(id);
            }
        }

        foreach (ulong id in left)
            Abandon(id);
    }

    /// <summary>Holds a reservation while it is written into; null when there is none, or it is written to.</summary>
    public Reservation? BeginWrite(ulong id)
    {
        lock (_entries)
        {
            if (!_entries.TryGetValue(id, out var entry) || entry.Writing || entry.Doomed)
                return null;
            entry.Writing = true;
            return entry.Reservation;
        }
    }

    /// <summary>Ends a write; a reservation abandoned in the meantime is freed now.</summary>
    public void EndWrite(ulong id)
    {
        Reservation? doomed = null;
        lock (_entries)
        {
            if (!_entries.TryGetValue(id, out var entry))
                return;
            entry.Writing = false;
            if (entry.Doomed && _entries.Remove(id))
                doomed = entry.Reservation;
            if (doomed is not null)
                entry.Owner?.Unreserve(doomed.Size);
        }

        if (doomed is not null)
            store.Abort(doomed);
    }

    /// <summary>Takes a reservation out to seal it; null when there is none or it is being written.</summary>
    public (Reservation Reservation, PutHead Head, ClientProcess? Owner)? Take(ulong id)
    {
        lock (_entries)
        {
            if (!_entries.TryGetValue(id, out var entry) || entry.Writing || entry.Doomed)
                return null;
            _entries.Remove(id);
            entry.Owner?.Unreserve(entry.Reservation.Size);
            return (entry.Reservation, entry.Head, entry.Owner);
        }
    }

    /// <summary>Frees a reservation, once nothing writes into it.</summary>
    public bool Abandon(ulong id)
    {
        Reservation? free = null;
        lock (_entries)
        {
            if (!_entries.TryGetValue(id, out var entry))
            {
                // Whoever waited in vain for a reservation gives it up, perhaps before it is made.
                if (_early.Count >= MostEarly)
                    _early.Dequeue();
                _early.Enqueue(id);
                return false;
            }

            if (entry.Writing)
                entry.Doomed = true;
            else if (_entries.Remove(id))
                free = entry.Reservation;
            if (free is not null)
                entry.Owner?.Unreserve(free.Size);
        }

        if (free is not null)
            store.Abort(free);
        return true;
    }

    /// <summary>
    /// Frees what is past its deadline or whose connection has closed; called about ten times a second.
    /// </summary>
    public void Expire()
    {
        var late = new List<ulong>();
        lock (_entries)
        {
            foreach (var (id, entry) in _entries)
            {
                if (IsOver(entry))
                    late.Add(id);
            }
        }

        foreach (ulong id in late)
            Abandon(id);
    }

    private bool IsOver(Entry entry) =>
        entry.Owner is null
        && (entry.From is { IsOpen: false } || runtime.Time.GetElapsedTime(entry.Since) > entry.Limit);

    private sealed class Entry(Reservation reservation, PutHead head, long since, TimeSpan limit, PeerChannel? from,
        ClientProcess? owner = null)
    {
        public Reservation Reservation { get; } = reservation;

        public PutHead Head { get; } = head;

        public long Since { get; } = since;

        public TimeSpan Limit { get; } = limit;

        public PeerChannel? From { get; } = from;

        /// <summary>The process that fills it itself, or null.</summary>
        public ClientProcess? Owner { get; } = owner;

        public bool Writing { get; set; }

        public bool Doomed { get; set; }
    }
}
