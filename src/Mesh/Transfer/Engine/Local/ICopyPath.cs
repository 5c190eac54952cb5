// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer.Engine.Local;

/// <summary>Copies between memory here and at one target, without its help. Thread-safe.</summary>
internal interface ICopyPath
{
    /// <summary>"self", "shm" or "cma".</summary>
    string Name { get; }

    /// <summary>Whether it can copy with such a range of the target's.</summary>
    bool Reaches(ulong address, ulong length);

    /// <summary>Copies all entries, some megabytes together at most, and says of each how it ended.</summary>
    /// <param name="opcode">Which way.</param>
    /// <param name="entries">The entries.</param>
    /// <param name="bounds">How long a device may be waited for, where one is.</param>
    void Copy(TransferOpcode opcode, Span<EngineEntry> entries, in MoveBounds bounds);
}
