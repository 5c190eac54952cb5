// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh;

/// <summary>Which processes of its host may fill their reservations in a node's memory themselves (rule A5).</summary>
public enum ClientWrites
{
    /// <summary>None: every byte goes over a socket, and the node alone writes.</summary>
    Off = 0,

    /// <summary>Those of the node's own user, and root.</summary>
    User = 1,

    /// <summary>Also those whose primary group is the node's.</summary>
    Group = 2,
}

/// <summary>What each process of the host may have of a node's memory at one time.</summary>
/// <param name="Writes">Who may write.</param>
/// <param name="ReservedBytes">Most bytes reserved and not sealed yet.</param>
/// <param name="ViewBytes">Most bytes in views.</param>
internal sealed record ClientLimits(ClientWrites Writes, long ReservedBytes, long ViewBytes)
{
    /// <summary>Most views of one process.</summary>
    public const int Views = 1024;

    /// <summary>Most reservations that one process fills itself.</summary>
    public const int Reservations = 1024;

    /// <summary>Most processes at one time.</summary>
    public const int Processes = 1024;
}
