// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer;

/// <summary>Where a holder's receiving thread finds the extent to write into (rule A5). Thread-safe.</summary>
internal interface IReservedMemory
{
    /// <summary>Holds a reservation while it is written into; null when there is none, or it is written to.</summary>
    Reservation? BeginWrite(ulong id);

    /// <summary>Ends a write; a reservation abandoned in the meantime is freed now.</summary>
    void EndWrite(ulong id);
}
