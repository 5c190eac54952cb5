// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Directory;

/// <summary>Whether an owner decides for a slot (rules A6 and A7).</summary>
internal interface IActingRule
{
    /// <summary>Whether a node with these roles decides for this slot, given whom it cannot reach itself.</summary>
    bool IsActing(Roles roles, int slot, Func<NodeRecord, bool> isUnreachable);
}

/// <summary>
/// Rule A7: a node acts for a slot only while every node before it in the preference list is unreachable from itself;
/// so, by rule A6, one alone decides and numbers wherever the owners reach each other.
/// </summary>
internal sealed class ActingRule : IActingRule
{
    /// <inheritdoc/>
    public bool IsActing(Roles roles, int slot, Func<NodeRecord, bool> isUnreachable)
    {
        byte place = roles.PlaceOf(slot);
        if (place == SlotStates.NoPlace)
            return false;
        for (int before = 0; before < place; before++)
        {
            if (roles.View.Owner(slot, before) is { } node && !isUnreachable(node))
                return false;
        }

        return true;
    }
}
