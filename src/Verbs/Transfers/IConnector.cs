// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Verbs.Transfers;

/// <summary>Makes queue pairs to a peer.</summary>
internal interface IConnector
{
    /// <summary>Number of the peer's cards, from 1.</summary>
    int RemoteCards { get; }

    /// <summary>Connects a card here with one of the peer's; null: that did not work. Never throws.</summary>
    Task<Endpoint?> ConnectAsync(RdmaPeer peer, int card, int remoteCard, Attempt attempt);
}
