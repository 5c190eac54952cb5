// SPDX-License-Identifier: Apache-2.0

// On the data path.

using System.Diagnostics;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// Which committed objects a holder gives up first: those of the policy, then soft pins, hard pins never; and which go
/// together because they are of one group. Only under the lock of its store.
/// </summary>
internal sealed class VictimOrder(IEvictionPolicy policy, TimeProvider time)
{
    /// <summary>How long a soft pin lasts (the same as Mooncake's default).</summary>
    public static readonly TimeSpan SoftPinTime = TimeSpan.FromMinutes(30);

    private readonly HeldQueue _soft = new();
    private readonly Dictionary<string, HeldGroup> _groups = new(StringComparer.Ordinal);
    private readonly List<HeldObject> _passedOver = [];

    /// <summary>An object was committed.</summary>
    public void Added(HeldObject held)
    {
        Queue(held);
        if (held.Attributes.Group is not { Length: > 0 } name)
            return;
        if (!_groups.TryGetValue(name, out HeldGroup? group))
            _groups.Add(name, group = new HeldGroup(name));
        group.Members.Add(held);
        group.Bytes += held.Occupied;
        held.Group = group;
    }

    /// <summary>A committed object left its key.</summary>
    public void Removed(HeldObject held)
    {
        Unqueue(held);
        if (held.Group is not { } group)
            return;
        group.Bytes -= held.Occupied;
        if (group.Members.Remove(held) && group.Members.Count == 0)
            _groups.Remove(group.Name);
        held.Group = null;
    }

    /// <summary>A committed object is pinned harder, or its soft pin begins anew.</summary>
    public void Pin(HeldObject held, ObjectPin pin)
    {
        if (!held.Proposed)
            Unqueue(held);
        held.Pin = pin;
        if (!held.Proposed)
            Queue(held);
    }

    /// <summary>
    /// Appends victims until they, with the rest of their groups, occupy <paramref name="bytes"/>, or there are no
    /// more. Those pinned by a reader are passed over, to the back: dropping one would free nothing yet.
    /// </summary>
    public void Propose(long bytes, int objects, List<HeldObject> into)
    {
        ExpireSoft();
        for (int steps = objects; steps > 0 && bytes > 0 && Next() is { } victim; steps--)
        {
            Debug.Assert(victim.State == HeldState.Committed, "a policy names committed objects only");
            if (victim.Pins > 0)
            {
                _passedOver.Add(victim);
                continue;
            }

            victim.Proposed = true;
            into.Add(victim);
            bytes -= victim.Group?.Bytes ?? victim.Occupied;
        }

        foreach (HeldObject held in _passedOver)
            Back(held);
        _passedOver.Clear();
    }

    /// <summary>A proposed victim stays: it goes to the back.</summary>
    public void Refused(HeldObject held)
    {
        held.Proposed = false;
        Back(held);
    }

    /// <summary>Appends the members of a group that may be evicted.</summary>
    public void ListGroup(string name, List<HeldObject> into)
    {
        if (!_groups.TryGetValue(name, out HeldGroup? group))
            return;
        foreach (HeldObject held in group.Members)
        {
            if (held.Pin != ObjectPin.Hard)
                into.Add(held);
        }
    }

    private HeldObject? Next()
    {
        if (policy.Next() is { } next)
            return next;
        HeldObject? soft = _soft.Oldest;
        if (soft is not null)
            _soft.Unlink(soft);
        return soft;
    }

    /// <summary>Back into the order, for an object that <see cref="Next"/> has taken out.</summary>
    private void Back(HeldObject held)
    {
        // It may have been pinned harder while it was proposed.
        if (held.Pin == ObjectPin.None && held.Place == VictimPlace.Policy)
        {
            policy.Refused(held);
            return;
        }

        if (held.Place == VictimPlace.Policy)
            policy.Removed(held);
        Queue(held);
    }

    private void Queue(HeldObject held)
    {
        held.Place = held.Pin switch
        {
            ObjectPin.Hard => VictimPlace.None,
            ObjectPin.Soft => VictimPlace.Soft,
            _ => VictimPlace.Policy,
        };
        if (held.Place == VictimPlace.Policy)
            policy.Added(held);
        if (held.Place != VictimPlace.Soft)
            return;
        held.SoftSince = time.GetTimestamp();
        _soft.Append(held);
    }

    private void Unqueue(HeldObject held)
    {
        if (held.Place == VictimPlace.Policy)
            policy.Removed(held);
        else if (held.Place == VictimPlace.Soft)
            _soft.Unlink(held);
        held.Place = VictimPlace.None;
    }

    /// <summary>Soft pins all last equally long, so the oldest of the queue ends first.</summary>
    private void ExpireSoft()
    {
        while (_soft.Oldest is { } oldest && time.GetElapsedTime(oldest.SoftSince) >= SoftPinTime)
        {
            _soft.Unlink(oldest);
            oldest.Pin = ObjectPin.None;
            Queue(oldest);
        }
    }
}

/// <summary>Objects of one holder that leave together.</summary>
internal sealed class HeldGroup(string name)
{
    public string Name { get; } = name;

    public HashSet<HeldObject> Members { get; } = [];

    /// <summary>What they occupy, in bytes.</summary>
    public long Bytes { get; set; }
}

/// <summary>Which queue of victims an object stands in, or was proposed from.</summary>
internal enum VictimPlace : byte
{
    None,
    Policy,
    Soft,
}
