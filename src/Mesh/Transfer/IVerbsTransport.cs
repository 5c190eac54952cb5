// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer;

/// <summary>A transport over RDMA cards, which at a holder also lets others' cards reach its memory.</summary>
internal interface IVerbsTransport : ITransport
{
    /// <summary>Lets cards reach a holder's segments; what it answers to those who want to.</summary>
    /// <returns>System: a card refuses the memory, most often as so much may not be locked.</returns>
    Task<MeshResult<IVerbsCalls>> ServeAsync(ObjectStore store, IReservedMemory reserved);

    /// <summary>Lets go of nodes, and of former lives of nodes, that are not in the view.</summary>
    void Keep(MeshView view);

    /// <summary>What each card has carried.</summary>
    IEnumerable<CardStatus> Cards();

    /// <summary>Transfers that no card could carry, so that they were left to other transports.</summary>
    long Fallbacks { get; }
}

/// <summary>What a transport over RDMA cards is made of.</summary>
/// <param name="Runtime">Clock, log and rules.</param>
/// <param name="Links">Connections to nodes.</param>
internal sealed record VerbsParts(MeshRuntime Runtime, PeerLinks Links);
