// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer;

/// <summary>A transport over RDMA cards, which at a holder also lets others' cards reach its memory.</summary>
internal interface IVerbsTransport : ITransport
{
    /// <summary>Lets cards reach a holder's segments; what it answers to those who want to.</summary>
    /// <returns>System: a card refuses the memory, most often as so much may not be locked.</returns>
    Task<MeshResult<IVerbsCalls>> ServeAsync(ObjectStore store, IReservedMemory reserved);

    /// <summary>
    /// Whether peers' cards reach a segment here: those of the host always, one of a device where its driver, the
    /// kernel and the cards can.
    /// </summary>
    bool Serves(Segment segment);

    /// <summary>Ends the cards' reach into a segment whose memory goes; nothing of it is in use.</summary>
    void Withdraw(Segment segment);

    /// <summary>Lets go of nodes, and of former lives of nodes, that are not in the view.</summary>
    void Keep(MeshView view);

    /// <summary>
    /// Lets the cards reach a caller's memory until <see cref="Unregister"/>, so that no transfer has to; where they
    /// refuse, transfers go as before.
    /// </summary>
    Task RegisterAsync(NativeRange memory);

    /// <summary>Ends that for the memory with this first byte; no transfer with it is under way.</summary>
    void Unregister(nint address);

    /// <summary>What each card has carried.</summary>
    IEnumerable<CardStatus> Cards();

    /// <summary>Transfers that no card could carry, so that they were left to other transports.</summary>
    long Fallbacks { get; }
}

/// <summary>What a transport over RDMA cards is made of.</summary>
/// <param name="Runtime">Clock, log and rules.</param>
/// <param name="Links">Connections to nodes.</param>
internal sealed record VerbsParts(MeshRuntime Runtime, PeerLinks Links)
{
    /// <summary>The threads that wait for devices; null: no memory of a caller is a device's.</summary>
    public DeviceQueues? Devices { get; init; }
}
