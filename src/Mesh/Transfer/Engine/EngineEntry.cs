// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Engine.Memory;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>A piece of a request on its way.</summary>
internal struct EngineEntry
{
    /// <summary>Number of the task in its batch.</summary>
    public int Task;

    /// <summary>First byte here.</summary>
    public nint Local;

    /// <summary>First byte in the target's process.</summary>
    public ulong Remote;

    /// <summary>Length in bytes, from 1.</summary>
    public long Length;

    /// <summary>Which way it goes.</summary>
    public TransferOpcode Opcode;

    /// <summary>How it ended.</summary>
    public EntryStatus Status;

    /// <summary>Whether it has been given to the cards.</summary>
    public bool IsWithCards;

    /// <summary>The registered memory that it is in here.</summary>
    public RegisteredRegion Region;

    /// <summary>Bytes of several together.</summary>
    public static long BytesOf(ReadOnlySpan<EngineEntry> entries)
    {
        long bytes = 0;
        foreach (ref readonly var entry in entries)
            bytes += entry.Length;
        return bytes;
    }
}
