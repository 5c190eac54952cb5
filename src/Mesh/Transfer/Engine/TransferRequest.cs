// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>Which way the bytes go, numbered as in Mooncake's Transfer Engine.</summary>
public enum TransferOpcode
{
    /// <summary>From the target into the caller's memory.</summary>
    Read = 0,

    /// <summary>From the caller's memory into the target.</summary>
    Write = 1,
}

/// <summary>How a task stands, numbered as in Mooncake's Transfer Engine.</summary>
public enum TransferState
{
    /// <summary>Not begun.</summary>
    Waiting = 0,

    /// <summary>Under way.</summary>
    Pending = 1,

    /// <summary>No such task, or a request that cannot be. Final.</summary>
    Invalid = 2,

    /// <summary>Ended with the engine, or with the registration of its memory. Final.</summary>
    Canceled = 3,

    /// <summary>Every byte is where it was to go; of a write: in the target's memory. Final.</summary>
    Completed = 4,

    /// <summary>Not done in the time a transfer may take. Final.</summary>
    Timeout = 5,

    /// <summary>The target refused, or cannot be reached. Final.</summary>
    Failed = 6,
}

/// <summary>One range to move. The layout is that of <c>transfer_request_t</c> in C.</summary>
/// <param name="Opcode">Which way.</param>
/// <param name="Source">First byte of the caller's memory, which is registered.</param>
/// <param name="TargetId">The segment, from opening it; 0: this engine's own.</param>
/// <param name="TargetOffset">First byte of the target's memory: an address in its process, registered there.</param>
/// <param name="Length">Length in bytes; 0 is done at once.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct TransferRequest(TransferOpcode Opcode, nint Source, int TargetId, ulong TargetOffset,
    ulong Length);

/// <summary>How a task stands. The layout is that of <c>transfer_status_t</c> in C.</summary>
/// <param name="State">The state.</param>
/// <param name="TransferredBytes">Bytes moved so far.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct TransferStatus(TransferState State, ulong TransferredBytes)
{
    /// <summary>Whether it is final: from then on nothing of the caller's memory is read or written for it.</summary>
    public bool IsFinal => State is not (TransferState.Waiting or TransferState.Pending);
}

/// <summary>Memory to register. The layout is that of <c>buffer_entry_t</c> in C.</summary>
/// <param name="Address">First byte.</param>
/// <param name="Length">Length in bytes, from 1.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct BufferEntry(nint Address, ulong Length);

/// <summary>A message to another engine, or from one.</summary>
/// <param name="Name">Who sends it, or what the two sides agree on.</param>
/// <param name="Message">The text.</param>
public sealed record TransferNotify(string Name, string Message);

/// <summary>What a way to peers carries.</summary>
/// <param name="Device">"mlx5_0", or "tcp", "cma", "shm".</param>
/// <param name="InflightBytes">Bytes on their way.</param>
/// <param name="BytesPerSecond">Speed lately, a moving average; 0: nothing was measured yet.</param>
public readonly record struct RailLoad(string Device, ulong InflightBytes, double BytesPerSecond);
