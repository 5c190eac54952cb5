// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Transfer.Engine.Cards;

/// <summary>RDMA cards, as an engine uses them. Thread-safe.</summary>
internal interface IEngineCards : IAsyncDisposable
{
    /// <summary>
    /// Lets the cards reach memory; blocks while the kernel pins it, or for as long as a device may stand still.
    /// </summary>
    /// <param name="range">The memory, of the host or of one device.</param>
    /// <param name="isRemote">Whether those of peers may, too.</param>
    /// <returns>
    /// What ends it; Memory when a card refuses, most often as so much may not be locked, and of a device where there
    /// is no way, or its driver cannot have everybody see what cards wrote.
    /// </returns>
    TransferResult<ICardMemory> Register(NativeRange range, bool isRemote);

    /// <summary>What is answered to peers whose cards want to reach memory here.</summary>
    /// <param name="find">Finds the memory of a range, for peers.</param>
    IVerbsCalls Serve(FindForPeers find);

    /// <summary>The way to a peer; it is gone as soon as something is to be moved.</summary>
    ICardRoute RouteTo(PeerLinks links, NodeRecord peer);

    /// <summary>What each card carries.</summary>
    IReadOnlyList<RailLoad> Loads();
}

/// <summary>Memory that cards can reach. Disposed when nothing of ours that names it is on its way.</summary>
internal interface ICardMemory : IDisposable;

/// <summary>Registered memory that a peer asks for.</summary>
/// <param name="Code">Whether cards may reach it; where it is not registered for peers, the rest is empty.</param>
/// <param name="Address">First byte.</param>
/// <param name="Length">Length in bytes.</param>
/// <param name="Device">The device that it lies on; empty: it is host memory.</param>
/// <param name="Cards">What lets the cards reach it, or null.</param>
internal readonly record struct CardRange(KeysCode Code, ulong Address, ulong Length, string Device,
    ICardMemory? Cards);

/// <summary>Finds registered memory for a peer.</summary>
internal delegate CardRange FindForPeers(ulong address, ulong length);

/// <summary>The cards' way to a peer in one of its lives. Thread-safe.</summary>
internal interface ICardRoute : IAsyncDisposable
{
    /// <summary>Whether it works, or it may: it was not tried yet, or not lately.</summary>
    bool IsHopeful { get; }

    /// <summary>Whether the peer can be reached by it; asks, where that is not known, for so long.</summary>
    Task<bool> IsOpenAsync(TimeSpan patience);

    /// <summary>
    /// Moves pieces, and says of each how it ended; Unreachable: the cards could not. It ends when none of them is on
    /// its way any more (rule A4).
    /// </summary>
    /// <param name="opcode">Which way.</param>
    /// <param name="entries">The pieces.</param>
    /// <param name="count">Number of them.</param>
    /// <param name="patience">How long a peer that is not reached is tried again.</param>
    /// <param name="stop">Breaks what is on its way.</param>
    Task MoveAsync(TransferOpcode opcode, EngineEntry[] entries, int count, TimeSpan patience, CancellationToken stop);
}
