// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>
/// What happened to a device, a port or a queue by itself. One that is newer than this list has its number.
/// </summary>
internal enum VerbsEventKind
{
    CompletionQueueError = ibv_event_type.IBV_EVENT_CQ_ERR,
    QueuePairFatal = ibv_event_type.IBV_EVENT_QP_FATAL,
    QueuePairRequestError = ibv_event_type.IBV_EVENT_QP_REQ_ERR,
    QueuePairAccessError = ibv_event_type.IBV_EVENT_QP_ACCESS_ERR,
    CommunicationEstablished = ibv_event_type.IBV_EVENT_COMM_EST,
    SendQueueDrained = ibv_event_type.IBV_EVENT_SQ_DRAINED,
    PathMigrated = ibv_event_type.IBV_EVENT_PATH_MIG,
    PathMigrationError = ibv_event_type.IBV_EVENT_PATH_MIG_ERR,

    /// <summary>The device works no more: everything made on it must go.</summary>
    DeviceFatal = ibv_event_type.IBV_EVENT_DEVICE_FATAL,

    /// <summary>A port moves data again. May come twice.</summary>
    PortActive = ibv_event_type.IBV_EVENT_PORT_ACTIVE,

    /// <summary>A port moves no data. Usually comes well before the first failed completion.</summary>
    PortError = ibv_event_type.IBV_EVENT_PORT_ERR,

    LidChange = ibv_event_type.IBV_EVENT_LID_CHANGE,
    PartitionKeyChange = ibv_event_type.IBV_EVENT_PKEY_CHANGE,
    SubnetManagerChange = ibv_event_type.IBV_EVENT_SM_CHANGE,
    SharedReceiveQueueError = ibv_event_type.IBV_EVENT_SRQ_ERR,
    SharedReceiveQueueLow = ibv_event_type.IBV_EVENT_SRQ_LIMIT_REACHED,
    LastWorkRequestReached = ibv_event_type.IBV_EVENT_QP_LAST_WQE_REACHED,
    ClientReregister = ibv_event_type.IBV_EVENT_CLIENT_REREGISTER,

    /// <summary>The GID table of a port changed: indexes found before may stand for others.</summary>
    GidChange = ibv_event_type.IBV_EVENT_GID_CHANGE,

    WorkQueueFatal = ibv_event_type.IBV_EVENT_WQ_FATAL,
}

/// <summary>An asynchronous event of a device.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Port">The port, for an event of one; else 0.</param>
/// <param name="QueuePairNumber">The queue pair, for an event of one; else 0.</param>
internal readonly record struct VerbsEvent(VerbsEventKind Kind, byte Port, uint QueuePairNumber)
{
    /// <summary>Reads what the event is about. The object it names lives until the event is acknowledged.</summary>
    internal static unsafe VerbsEvent From(in ibv_async_event native)
    {
        var kind = (VerbsEventKind)native.event_type;
        return kind switch
        {
            VerbsEventKind.PortActive or VerbsEventKind.PortError or VerbsEventKind.LidChange
                or VerbsEventKind.PartitionKeyChange or VerbsEventKind.SubnetManagerChange
                or VerbsEventKind.ClientReregister or VerbsEventKind.GidChange =>
                new VerbsEvent(kind, (byte)native.port_num, 0),
            VerbsEventKind.QueuePairFatal or VerbsEventKind.QueuePairRequestError
                or VerbsEventKind.QueuePairAccessError or VerbsEventKind.CommunicationEstablished
                or VerbsEventKind.SendQueueDrained or VerbsEventKind.PathMigrated
                or VerbsEventKind.PathMigrationError or VerbsEventKind.LastWorkRequestReached =>
                new VerbsEvent(kind, 0, native.qp->qp_num),
            _ => new VerbsEvent(kind, 0, 0),
        };
    }
}
