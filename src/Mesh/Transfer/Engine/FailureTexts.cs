// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>Failures of transfers, for people.</summary>
internal static class FailureTexts
{
    /// <summary>One line.</summary>
    public static string Of(EntryStatus status) => status switch
    {
        EntryStatus.NotRegistered => "the target has not registered that range",
        EntryStatus.NotRemote => "the target has registered that range, but not for peers",
        EntryStatus.Full => "the target has no room for one more message",
        EntryStatus.NotLocal => "none of the transports that are allowed reaches that range of the target",
        EntryStatus.OtherLife => "another process answers at the target's address: open the segment again",
        EntryStatus.NotMapped => "the target has registered that range, but no memory is there",
        EntryStatus.Late => "the time that a transfer may take is over",
        EntryStatus.Ended => "the engine, or the registration of the source, has ended",
        EntryStatus.Unreachable => "the target cannot be reached, or the connection broke",
        EntryStatus.DeviceFailed => "a GPU that one of the two ranges lies on is lost, or refuses",
        _ => "done",
    };
}
