// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Diagnostics;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// Which committed objects a holder gives up first: those of the policy, then soft pins, hard pins never; and which go
/// together because they are of one group. Only under the lock of its store.
/// </summary>
internal sealed unsafe class VictimOrder(IEvictionPolicy policy, HeldGroups groups, TimeProvider time)
{
    /// <summary>How long a soft pin lasts (the same as Mooncake's default).</summary>
    public static readonly TimeSpan SoftPinTime = TimeSpan.FromMinutes(30);

    private readonly HeldQueue _soft = new();
    private readonly List<nint> _passedOver = [];

    /// <summary>An object was committed.</summary>
    public void Added(HeldCell* held)
    {
        Queue(held);
        if (groups.Of(held->Group) is not { } group)
            return;
        group.Members.Add((nint)held);
        group.Bytes += held->Occupied;
    }

    /// <summary>A committed object left its key.</summary>
    public void Removed(HeldCell* held)
    {
        Unqueue(held);
        if (groups.Of(held->Group) is not { } group)
            return;
        group.Bytes -= held->Occupied;
        group.Members.Remove((nint)held);
    }

    /// <summary>A committed object lies elsewhere: <paramref name="now"/> has its place, pin and group.</summary>
    public void Moved(HeldCell* held, HeldCell* now)
    {
        if (held->Place == VictimPlace.Policy)
            policy.Moved(held, now);
        else if (held->Place == VictimPlace.Soft)
            _soft.Replace(held, now);
        (now->Place, now->Pin, now->SoftSince) = (held->Place, held->Pin, held->SoftSince);
        (held->Place, held->Pin) = (VictimPlace.None, ObjectPin.None);
        if (groups.Of(held->Group) is not { } group)
            return;
        group.Members.Remove((nint)held);
        group.Members.Add((nint)now);
    }

    /// <summary>A committed object is pinned harder, or its soft pin begins anew.</summary>
    public void Pin(HeldCell* held, ObjectPin pin)
    {
        if (!held->Proposed)
            Unqueue(held);
        held->Pin = pin;
        if (!held->Proposed)
            Queue(held);
    }

    /// <summary>
    /// Appends victims until they, with the rest of their groups, occupy <paramref name="bytes"/>, or there are no
    /// more. Those pinned by a reader are passed over, to the back: dropping one would free nothing yet.
    /// </summary>
    public void Propose(long bytes, int objects, List<nint> into)
    {
        ExpireSoft();
        for (int steps = objects; steps > 0 && bytes > 0; steps--)
        {
            HeldCell* victim = Next();
            if (victim is null)
                break;
            Debug.Assert(victim->State == HeldState.Committed, "a policy names committed objects only");
            if (victim->Pins > 0)
            {
                _passedOver.Add((nint)victim);
                continue;
            }

            victim->Proposed = true;
            into.Add((nint)victim);
            bytes -= groups.Of(victim->Group)?.Bytes ?? victim->Occupied;
        }

        foreach (nint held in _passedOver)
            Back((HeldCell*)held);
        _passedOver.Clear();
    }

    /// <summary>A proposed victim stays: it goes to the back.</summary>
    public void Refused(HeldCell* held)
    {
        held->Proposed = false;
        Back(held);
    }

    /// <summary>Appends the members of a group that may be evicted.</summary>
    public void ListGroup(string name, List<nint> into)
    {
        if (!groups.TryFind(name, out HeldGroup? group))
            return;
        foreach (nint held in group.Members)
        {
            if (((HeldCell*)held)->Pin != ObjectPin.Hard)
                into.Add(held);
        }
    }

    private HeldCell* Next()
    {
        HeldCell* next = policy.Next();
        if (next is not null)
            return next;
        HeldCell* soft = _soft.Oldest;
        if (soft is not null)
            _soft.Unlink(soft);
        return soft;
    }

    /// <summary>Back into the order, for an object that <see cref="Next"/> has taken out.</summary>
    private void Back(HeldCell* held)
    {
        // It may have been pinned harder while it was proposed.
        if (held->Pin == ObjectPin.None && held->Place == VictimPlace.Policy)
        {
            policy.Refused(held);
            return;
        }

        if (held->Place == VictimPlace.Policy)
            policy.Removed(held);
        Queue(held);
    }

    private void Queue(HeldCell* held)
    {
        held->Place = held->Pin switch
        {
            ObjectPin.Hard => VictimPlace.None,
            ObjectPin.Soft => VictimPlace.Soft,
            _ => VictimPlace.Policy,
        };
        if (held->Place == VictimPlace.Policy)
            policy.Added(held);
        if (held->Place != VictimPlace.Soft)
            return;
        held->SoftSince = time.GetTimestamp();
        _soft.Append(held);
    }

    private void Unqueue(HeldCell* held)
    {
        if (held->Place == VictimPlace.Policy)
            policy.Removed(held);
        else if (held->Place == VictimPlace.Soft)
            _soft.Unlink(held);
        held->Place = VictimPlace.None;
    }

    /// <summary>Soft pins all last equally long, so the oldest of the queue ends first.</summary>
    private void ExpireSoft()
    {
        while (_soft.Oldest is not null && time.GetElapsedTime(_soft.Oldest->SoftSince) >= SoftPinTime)
        {
            HeldCell* oldest = _soft.Oldest;
            _soft.Unlink(oldest);
            oldest->Pin = ObjectPin.None;
            Queue(oldest);
        }
    }
}

/// <summary>Which queue of victims an object stands in, or was proposed from.</summary>
internal enum VictimPlace : byte
{
    None,
    Policy,
    Soft,
}
