// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Rails;
using Mooncake.Mesh.Verbs.Cards;
using Mooncake.Mesh.Verbs.Queues;

namespace Mooncake.Mesh.Verbs.Transfers;

/// <summary>A slice on its way.</summary>
internal struct Flight
{
    public RdmaBatch? Batch;
    public RdmaSlice Slice;
    public RailSlice Placed;
}

/// <summary>
/// A connected queue pair between one card here and one of the peer, and the slices that are on their way over it.
/// Guarded by the lock of its peer.
/// </summary>
internal sealed class Endpoint
{
    private const int PostedAtOnce = 16;

    private readonly Flight[] _flights;
    private readonly int[] _free;
    private readonly WorkRequest[] _pending = new WorkRequest[PostedAtOnce];
    private int _freeCount;
    private int _pendingCount;

    public Endpoint(ulong id, CardLife life, QueuePair pair, int depth, RdmaPeer peer, int rail, int remoteCard)
    {
        Id = id;
        Life = life;
        Pair = pair;
        Peer = peer;
        Rail = rail;
        RemoteCard = remoteCard;
        _flights = new Flight[depth];
        _free = new int[depth];
        for (int i = 0; i < depth; i++)
            _free[i] = depth - 1 - i;
        _freeCount = depth;
    }

    /// <summary>What the work ids of its slices begin with.</summary>
    public ulong Id { get; }

    /// <summary>The card it is on.</summary>
    public CardLife Life { get; }

    public QueuePair Pair { get; }

    public RdmaPeer Peer { get; }

    /// <summary>Number of the card here.</summary>
    public int Rail { get; }

    /// <summary>Number of the peer's card.</summary>
    public int RemoteCard { get; }

    /// <summary>Keys of the peer's regions at its card; empty where the peer only reads.</summary>
    public uint[] RemoteKeys { get; set; } = [];

    /// <summary>Whether it carries nothing more; it is destroyed once nothing is on its way.</summary>
    public bool IsBroken { get; set; }

    /// <summary>Whether it broke because its way failed.</summary>
    public bool IsFaulty { get; set; }

    /// <summary>Whether it is being destroyed.</summary>
    public bool IsEnding { get; set; }

    /// <summary>Ends once it is destroyed: nothing it was given touches memory any more.</summary>
    public TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Looks after one that is broken, until it has ended.</summary>
    public ITimer? Watch { get; set; }

    /// <summary>Slices on their way.</summary>
    public int InFlight => _flights.Length - _freeCount;

    /// <summary>Whether slices were added that are not posted yet.</summary>
    public bool HasPending => _pendingCount > 0;

    /// <summary>Whether one more can be sent.</summary>
    public bool HasRoom => _freeCount > 0;

    /// <summary>What a slice is as work for its card; false: it is not reached over these two cards.</summary>
    public bool TryWork(RdmaBatch batch, in RdmaSlice slice, out WorkRequest work)
    {
        ref readonly var request = ref batch.RequestOf(slice);
        nint local = request.Local + (nint)slice.Offset;
        long remote = request.Offset + slice.Offset;
        work = default;
        if (!request.Memory.TryKey(Rail, Life, local, out uint localKey)
            || !request.Remote.TryKey(this, remote, out uint remoteKey))
            return false;
        work.Kind = request.Kind;
        work.RemoteAddress = request.Remote.AddressOf(remote);
        work.RemoteKey = remoteKey;
        work.Local = new LocalPiece((ulong)local, slice.Length, localKey);
        return true;
    }

    /// <summary>Takes a slice, to be posted by <see cref="Post"/>; true when it is time to.</summary>
    public bool Add(in Flight flight, ref WorkRequest work)
    {
        int slot = _free[--_freeCount];
        _flights[slot] = flight;
        work.WorkId = Id | (uint)slot;
        work.Flags = WorkFlags.Signaled;
        _pending[_pendingCount++] = work;
        return _pendingCount == PostedAtOnce;
    }

    /// <summary>Hands the card what was added; the slots of those it did not take come back.</summary>
    /// <returns>How many slices it did not take: <see cref="NotTaken"/> says which.</returns>
    public int Post(out int errno)
    {
        errno = 0;
        if (_pendingCount == 0)
            return 0;
        int taken = Pair.Post(_pending.AsSpan(0, _pendingCount), out errno);
        int left = _pendingCount - taken;
        _pending.AsSpan(taken, left).CopyTo(_pending);
        _pendingCount = 0;
        return left;
    }

    /// <summary>The slot of a slice that the card did not take.</summary>
    public int NotTaken(int index) => (int)(_pending[index].WorkId - Id);

    /// <summary>
    /// A slice is no longer on its way; what it was, or nothing: it was taken back before, with its queue pair, and its
    /// completion was on the way here meanwhile.
    /// </summary>
    public Flight Release(int slot)
    {
        var flight = _flights[slot];
        if (flight.Batch is null)
            return flight;
        _flights[slot] = default;
        _free[_freeCount++] = slot;
        return flight;
    }

    /// <summary>Whether a slice of this batch is on its way.</summary>
    public bool Carries(RdmaBatch batch)
    {
        foreach (ref readonly var flight in _flights.AsSpan())
        {
            if (flight.Batch == batch)
                return true;
        }

        return false;
    }

    /// <summary>Slots of everything on its way, for one that is destroyed with it.</summary>
    public List<int> Slots()
    {
        var slots = new List<int>();
        for (int i = 0; i < _flights.Length; i++)
        {
            if (_flights[i].Batch is not null)
                slots.Add(i);
        }

        return slots;
    }
}
