// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Engine.Local;

/// <summary>Copies between memory here and at one target, without its help. Thread-safe.</summary>
internal interface ICopyPath
{
    /// <summary>"self", "shm" or "cma".</summary>
    string Name { get; }

    /// <summary>Whether it can copy with such a range of the target's.</summary>
    bool Reaches(ulong address, ulong length);

    /// <summary>Copies all entries, some megabytes together at most, and says of each how it ended.</summary>
    void Copy(TransferOpcode opcode, Span<EngineEntry> entries);
}
