// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>
/// What this node is for each slot in its view: its place in the preference list, and whether it is complete
/// (rule A11). Thread-safe; read without a lock, written under one.
/// </summary>
internal sealed class SlotStates
{
    /// <summary>Place of a node that is not in the preference list.</summary>
    public const byte NoPlace = 255;

    private readonly Lock _lock = new();
    private readonly string _nodeId;
    private readonly IDenyRule _deny;
    private readonly Func<NodeRecord, bool> _isSelf;
    private readonly byte[] _state;
    private Roles _roles;
    private long _stamp;
    private long _suspendedSince = long.MaxValue;
    private long _learntAt = long.MinValue;
    private volatile MeshView? _doubt;

    /// <param name="nodeId">This node.</param>
    /// <param name="slots">Number of slots.</param>
    /// <param name="deny">When it may deny a key.</param>
    /// <param name="isSelf">
    /// Whether a member is this life of the node, and not a namesake: where it is not, the node has no place. Null: by
    /// the name.
    /// </param>
    public SlotStates(string nodeId, int slots, IDenyRule? deny = null, Func<NodeRecord, bool>? isSelf = null)
    {
        _isSelf = isSelf ?? (member => member.NodeId == nodeId);
        _deny = deny ?? MeshPolicies.Default.Deny;
        _nodeId = nodeId;
        _state = new byte[slots];
        byte[] places = new byte[slots];
        Array.Fill(places, NoPlace);
        _roles = new Roles(MeshView.Empty, places);
    }

    private enum State : byte
    {
        Incomplete = 0,
        Complete = 1,

        /// <summary>
        /// Incomplete, and not for a new view alone: another owner may have decided out of our sight, so that nobody
        /// whom it did not tell can make it complete.
        /// </summary>
        Doubted = 3,

        /// <summary>Doubted, and complete before: another present owner need only say that it is so still.</summary>
        Suspended = 4,

        /// <summary>
        /// Incomplete, as a member has been in another ring meanwhile and may have decided there: an owner who was not
        /// in that one may pass for complete still, so that every holder is asked.
        /// </summary>
        Apart = 5,

        /// <summary>Was complete when the slot went to others: served read-only until they are complete.</summary>
        Lost = 2,
    }

    /// <summary>Number of slots.</summary>
    public int Slots => _state.Length;

    /// <summary>The view adopted last, and this node's places in it: one consistent pair.</summary>
    public Roles Current => Volatile.Read(ref _roles);

    /// <summary>
    /// Changes whenever a slot becomes incomplete: what was copied of a slot in two steps is whole only if it is equal
    /// before both.
    /// </summary>
    public long Stamp => Volatile.Read(ref _stamp);

    /// <summary>Place of this node in the slot's preference list, or <see cref="NoPlace"/>.</summary>
    public byte PlaceOf(int slot) => Current.PlaceOf(slot);

    /// <summary>Whether the slot's records should be here: primary or backup.</summary>
    public bool Owns(int slot) => PlaceOf(slot) <= 1;

    /// <summary>
    /// The last view after which others may have owned our slots, in views that we did not see; null: none. Until this
    /// is settled no slot passes for complete.
    /// </summary>
    public MeshView? Doubt => _doubt;

    /// <summary>Whether everything acknowledged in this slot is known here.</summary>
    public bool IsComplete(int slot) => _state[slot] == (byte)State.Complete && _doubt is null;

    /// <summary>Whether a key that is not known here is nowhere (rule A11).</summary>
    public bool MayDeny(int slot) => _deny.MayDeny(IsComplete(slot), Returned.Any);

    /// <summary>Holders that are back and have not told what they have.</summary>
    public ReturnedHolders Returned { get; } = new();

    /// <summary>Members that do not answer pings.</summary>
    public MissedMembers Missed { get; } = new();

    /// <summary>
    /// Whether this node's word makes a slot complete for another owner: it is complete here, and no member that this
    /// node does not hear can be acting for it.
    /// </summary>
    public bool MayVouch(int slot) => MayDeny(slot) && !Missed.MayActFor(Current.View, slot);

    /// <summary>Whether it was so when the slot left us, and nothing was dropped since.</summary>
    public bool IsLost(int slot) => _state[slot] == (byte)State.Lost && _doubt is null;

    /// <summary>
    /// Moves to a new view. A slot stays complete only where nobody else can have decided in a view that was skipped.
    /// A node alone in its mesh's first view is complete: nobody holds anything.
    /// </summary>
    public void Adopt(MeshView previous, MeshView next)
    {
        var places = PlacesIn(next);
        bool otherMesh = previous.Config.MeshId != 0 && previous.Config.MeshId != next.Config.MeshId;
        // Before the new view can be seen: whoever denies a key in it has waited for all that it brings back.
        Returned.Adopt(previous, next);
        Missed.Adopt(next);
        bool alone = next.Members.Count == 1 && (previous.Config.MeshId == 0 || otherMesh);
        var jump = IsBack(previous, next) ? RingJump.Unknown(previous, next, _nodeId)
            : RingJump.Of(previous, next, _nodeId);
        lock (_lock)
        {
            // The ring is the same again: perhaps it was all along. The members are asked.
            bool same = !otherMesh && previous.Members.Count > 0 && next.HasSharesOf(previous);
            if (same && (_doubt is not null || !jump.IsKnown))
            {
                _doubt ??= previous;
                Volatile.Write(ref _roles, new Roles(next, places));
                return;
            }

            if (_doubt is not null)
                AllIncomplete();
            for (int slot = 0; slot < _state.Length; slot++)
            {
                var before = (State)_state[slot];
                var state = alone && places[slot] <= 1 ? State.Complete : Next(before, slot, places[slot], jump);
                // One whom we do not hear may act for it from now on, and whoever vouched for us may be gone.
                if (state == State.Complete && Missed.MayActFor(next, slot))
                    state = State.Doubted;
                if (state is State.Incomplete or State.Doubted && before != state)
                    Volatile.Write(ref _stamp, _stamp + 1);
                _state[slot] = (byte)state;
            }

            Volatile.Write(ref _roles, new Roles(next, places));
        }
    }

    /// <summary>
    /// Whether this node was out of the mesh between two views, though it may have kept itself in its own while it did
    /// not reach the registry: others have decided for its slots since.
    /// </summary>
    private bool IsBack(MeshView previous, MeshView next) => previous.Find(_nodeId) is { } before
        && next.Find(_nodeId) is { } now && before.Session != now.Session;

    /// <summary>
    /// A peer goes on in another view under the number of ours, which will never be ours: whoever is in it may have
    /// decided for our slots.
    /// </summary>
    public void DoubtView()
    {
        lock (_lock)
        {
            if (_state.AsSpan().ContainsAny((byte)State.Complete, (byte)State.Suspended, (byte)State.Lost))
                _doubt ??= _roles.View;
        }
    }

    /// <summary>
    /// Settles the doubt: whether the members have been in the same ring since.
    /// </summary>
    public void Settle(MeshView doubt, RingSince found)
    {
        lock (_lock)
        {
            if (_doubt != doubt)
                return;
            if (found == RingSince.Same)
                _doubt = null;
            else
                AllIncomplete(found == RingSince.Another);
        }
    }

    private void AllIncomplete(bool apart = false)
    {
        for (int slot = 0; slot < _state.Length; slot++)
        {
            bool own = _roles.PlaceOf(slot) <= 1;
            _state[slot] = (byte)((apart && own) || IsApart(slot) ? State.Apart
                : IsDoubted(slot) ? State.Doubted : State.Incomplete);
        }

        Volatile.Write(ref _stamp, _stamp + 1);
        _doubt = null;
    }

    private State Next(State state, int slot, byte place, RingJump jump) => state switch
    {
        // One that acted as third or fourth: it was complete while nobody else could decide, and knows no longer.
        State.Complete when _roles.PlaceOf(slot) > 1 => State.Incomplete,
        State.Complete when place <= 1 => jump.OwnedThroughout(slot) ? State.Complete : State.Incomplete,
        State.Complete => jump.OthersAreOwners(slot) ? State.Lost : State.Incomplete,
        // Its new owners may have accepted what is not known here: it is theirs to give as soon as they change.
        State.Lost => place > 1 && jump.SameOwners(slot) ? State.Lost : State.Incomplete,
        State.Doubted or State.Suspended when place <= 1 => State.Doubted,
        State.Apart when place <= 1 => State.Apart,
        _ => State.Incomplete,
    };

    /// <summary>
    /// Marks a slot complete, if it is still ours in <paramref name="place"/>, and no slot has become incomplete since
    /// the <paramref name="stamp"/> before the first question that it is complete by.
    /// </summary>
    /// <returns>Whether it is complete now.</returns>
    public bool SetComplete(int slot, byte place, long stamp)
    {
        lock (_lock)
        {
            if (_roles.PlaceOf(slot) != place || place == NoPlace || _stamp != stamp)
                return false;
            _state[slot] = (byte)State.Complete;
            return true;
        }
    }

    /// <summary>Marks a slot incomplete.</summary>
    public void SetIncomplete(int slot) => Set(slot, State.Incomplete);

    /// <summary>Marks a slot incomplete until a present owner, or every holder, has told what it knows.</summary>
    public void SetDoubted(int slot) => Set(slot, State.Doubted);

    /// <summary>
    /// An owner may begin to decide out of our sight: of the slots that we share with a member, the complete ones are
    /// so no longer until a present owner, whom it would tell, says that they have been complete all the while.
    /// </summary>
    /// <param name="nodeId">The member, which did not answer or is gone.</param>
    /// <param name="gone">It cannot act itself: only slots where another one may that we do not hear.</param>
    /// <param name="at">Now, as a timestamp.</param>
    public void SuspendShared(string nodeId, bool gone, long at)
    {
        // Under one lock with the change of the view: a slot is in the view that its state is of.
        lock (_lock)
        {
            var view = _roles.View;
            for (int slot = 0; slot < _state.Length; slot++)
            {
                if (_roles.PlaceOf(slot) > 1 || view.PlaceOf(slot, nodeId) < 0
                    || (gone && !Missed.MayActFor(view, slot)))
                    continue;
                Set(slot, (State)_state[slot] is State.Complete or State.Suspended ? State.Suspended : State.Doubted);
                _suspendedSince = Math.Min(_suspendedSince, at);
            }
        }
    }

    /// <summary>Since when slots are suspended, as a timestamp, or earlier.</summary>
    public long SuspendedSince => Volatile.Read(ref _suspendedSince);

    /// <summary>Looks whether any slot is suspended still.</summary>
    public void CountSuspended()
    {
        lock (_lock)
        {
            if (!_state.AsSpan().Contains((byte)State.Suspended))
                _suspendedSince = long.MaxValue;
        }
    }

    /// <summary>When records came last that made a slot complete, as a timestamp; null: never.</summary>
    public long? LearntAt => Volatile.Read(ref _learntAt) is var at && at == long.MinValue ? null : at;

    /// <summary>Records came that made a slot complete: who was complete before may lack them.</summary>
    public void Learnt(long at) => Volatile.Write(ref _learntAt, at);

    /// <summary>Whether only a present owner, or all holders, can make it complete.</summary>
    public bool IsDoubted(int slot) => (State)_state[slot] is State.Doubted or State.Suspended;

    /// <summary>Whether only all holders together can make it complete.</summary>
    public bool IsApart(int slot) => _state[slot] == (byte)State.Apart;

    /// <summary>Whether it lacks nothing but the word of a present owner.</summary>
    public bool IsSuspended(int slot) => _state[slot] == (byte)State.Suspended;

    private void Set(int slot, State state)
    {
        lock (_lock)
        {
            if (_state[slot] == (byte)state && state is not (State.Doubted or State.Suspended))
                return;
            if (!IsApart(slot))
                _state[slot] = (byte)state;
            Volatile.Write(ref _stamp, _stamp + 1);
        }
    }

    /// <summary>Counts (primary, backup, complete, incomplete, lost) slots.</summary>
    public (int Primary, int Backup, int Complete, int Incomplete, int Lost) Count()
    {
        int primary = 0, backup = 0, complete = 0, incomplete = 0, lost = 0;
        for (int slot = 0; slot < _state.Length; slot++)
        {
            byte place = PlaceOf(slot);
            primary += place == 0 ? 1 : 0;
            backup += place == 1 ? 1 : 0;
            if (place <= 1)
            {
                complete += IsComplete(slot) ? 1 : 0;
                incomplete += IsComplete(slot) ? 0 : 1;
            }

            lost += IsLost(slot) ? 1 : 0;
        }

        return (primary, backup, complete, incomplete, lost);
    }

    private byte[] PlacesIn(MeshView view)
    {
        var places = new byte[_state.Length];
        Array.Fill(places, NoPlace);
        int self = -1;
        for (int i = 0; i < view.Members.Count; i++)
        {
            if (_isSelf(view.Members[i]))
                self = i;
        }

        if (self < 0 || view.Config.Slots != _state.Length)
            return places;
        for (int slot = 0; slot < places.Length; slot++)
        {
            for (int place = 0; place < SlotTable.Places; place++)
            {
                if (view.Slots.OwnerIndex(slot, place) == self)
                    places[slot] = (byte)place;
            }
        }

        return places;
    }
}

/// <summary>A view and this node's place in each slot's preference list of it.</summary>
internal sealed class Roles(MeshView view, byte[] places)
{
    public MeshView View { get; } = view;

    public byte PlaceOf(int slot) => places[slot];
}
