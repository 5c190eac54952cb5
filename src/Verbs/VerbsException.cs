// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs;

/// <summary>A verbs call that failed: the one place that turns error numbers into words.</summary>
/// <param name="errno">The raw number; 0 when the call gave none.</param>
/// <param name="call">The native call.</param>
/// <param name="detail">What was asked of it, or what helps; null when there is nothing to add.</param>
internal sealed class VerbsException(int errno, string call, string? detail = null)
    : Exception(detail is null ? $"{call}: {Describe(errno)}" : $"{call}: {Describe(errno)}; {detail}")
{
    /// <summary>EPERM: the process lacks a capability.</summary>
    internal const int NotPermitted = 1;

    /// <summary>ENOENT: there is no device file.</summary>
    internal const int NoSuchFile = 2;

    /// <summary>EIO: the device has left its driver.</summary>
    internal const int InputOutput = 5;

    /// <summary>ENXIO: there is a device file and no device.</summary>
    internal const int NoSuchAddress = 6;

    /// <summary>EAGAIN: nothing is waiting on a non-blocking descriptor.</summary>
    internal const int Again = 11;

    /// <summary>ENOMEM: no memory, no room in a queue, or too little that may be locked.</summary>
    internal const int NoMemory = 12;

    /// <summary>EACCES: the file's mode forbids it.</summary>
    internal const int AccessDenied = 13;

    /// <summary>ENODEV: the device is gone.</summary>
    internal const int NoDevice = 19;

    /// <summary>EINVAL: the device or the kernel refuses an argument.</summary>
    internal const int Invalid = 22;

    /// <summary>ENETUNREACH: no way to the peer's GID.</summary>
    internal const int Unreachable = 101;

    /// <summary>The raw error number; 0 when the call gave none.</summary>
    public int Errno => errno;

    /// <summary>The native call that failed.</summary>
    public string Call => call;

    /// <summary>An error number in words.</summary>
    internal static string Describe(int errno) => errno switch
    {
        0 => "failed and gave no reason",
        InputOutput => "input/output error (5): the device has been removed or reset",
        NoDevice => "no such device (19): it has been removed",
        Invalid => "invalid argument (22): the device or the kernel refuses it",
        Unreachable => "network is unreachable (101): the link is down or there is no route to the peer's GID",
        _ => $"{Marshal.GetPInvokeErrorMessage(errno)} ({errno})",
    };

    /// <summary>
    /// The error number in the result of a call that returns 0 or the errno, as most do; some return -1 and set errno,
    /// a few return it negated. Call it right after.
    /// </summary>
    internal static int NumberOf(int result) => result switch
    {
        >= 0 => result,
        -1 => Marshal.GetLastSystemError(),
        _ => -result,
    };

    /// <summary>Throws when the result of a call that has just returned is a failure.</summary>
    internal static void ThrowIfFailed(int result, string call, string? detail = null)
    {
        if (result != 0)
            throw new VerbsException(NumberOf(result), call, detail);
    }

    /// <summary>A call that locks memory has failed: for ENOMEM says what the limit is and how to raise it.</summary>
    /// <param name="errno">The raw number.</param>
    /// <param name="call">The native call.</param>
    /// <param name="bytes">How much it had to lock; null when only the driver knows.</param>
    internal static VerbsException ForLockedMemory(int errno, string call, long? bytes) =>
        new(errno, call, errno == NoMemory ? LockedMemory.Explain(bytes) : bytes is null ? null : $"{bytes} bytes");
}
