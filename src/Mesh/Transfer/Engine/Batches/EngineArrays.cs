// SPDX-License-Identifier: Apache-2.0

using System.Buffers;

namespace Mooncake.Mesh.Transfer.Engine.Batches;

/// <summary>
/// Arrays of the engine's that are used again, kept for all threads together. The runtime's shared pool keeps some for
/// each thread that returns one, and a handle of the collector's with them; threads of a host that calls us come and go
/// by the million.
/// </summary>
internal static class EngineArrays<T>
{
    /// <summary>Most arrays kept of each length.</summary>
    public const int MostKept = 16;

    /// <summary>Those of the process.</summary>
    public static readonly ArrayPool<T> Pool = ArrayPool<T>.Create(EngineTransfers.MostRequests, MostKept);
}
