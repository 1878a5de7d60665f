/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* MESSAGE_ID= of what is written to the journal. They are interface: people and programs look for them. systemd/runtime-manager.catalog explains each; a test
 * holds the two against each other. */

/* A runtime's life. */
#define MESSAGE_ID_STARTED "05e30523732e45b5a699f80210286960"
#define MESSAGE_ID_READY "a2f5b37789df47fd91318d9d43dd76d8"
#define MESSAGE_ID_ENDED "7a3b56292c3348d8ad63f81d1d1f8161" /* with success */
#define MESSAGE_ID_FAILED "03f3d1b974894dd3b59ad0a93e0362c9"
#define MESSAGE_ID_OUT_OF_MEMORY "337afeb0f9254fd4b5485cf6017e5237"
#define MESSAGE_ID_TIMED_OUT "489e470c30aa42f1a9556a8a10e94480"
#define MESSAGE_ID_SETUP_FAILED "cea8843535af464aa4a59cb5d246435c"
#define MESSAGE_ID_START_FAILED "b7c4f703c8bf46659b0d7aedc09ee77e"
#define MESSAGE_ID_HANDSHAKE_FAILED "e364efbced8d4dc48f89434cea6920df"
#define MESSAGE_ID_STOPPED "1ef45c04d04148b8a0874a1f220ed5c8"
#define MESSAGE_ID_OWNER_LOST "6b7188e6950f4e3fad839036436a4147"
#define MESSAGE_ID_LOST "f962b1c8709e4b4da266cc5893080237"

/* What happens to it meanwhile. */
#define MESSAGE_ID_WARNING "c676b32d669a402a8378573d0264c34a" /* RUNTIME_WARNING= says which */
#define MESSAGE_ID_SCOPE_LOST "7eddb30a6ce44459baccd630038e9b22"
#define MESSAGE_ID_OUTPUT_DROPPED "359ada18601540179fc1251bb59833c4"

/* The service's own affairs. */
#define MESSAGE_ID_RECORD_UNWRITABLE "78845a82e6474fd2a65555aaf411ec1a"
#define MESSAGE_ID_RECORD_WRITABLE "bbbe139b74494b42b9ccc45dc208160c"
#define MESSAGE_ID_RECORD_REFUSED "020ca249face4eeeb61099009d7f901c"
#define MESSAGE_ID_KEEPER_UNKNOWN "6f2ccc502bca423a86d1dd77815d8597" /* of another version */
#define MESSAGE_ID_KEEPER_BROKEN "87163558d8944e97ba20f9a0a597d81e"
#define MESSAGE_ID_KIND_MISTAKE "57a61edb3b384f7e93434177871d1edd"
#define MESSAGE_ID_LIMIT_REACHED "a2c5fa2b27674e92a1d45c50612e4aee"
#define MESSAGE_ID_NOT_AUTHORIZED "c067c17a0eaa4475ae2acebb35e5c89b"
#define MESSAGE_ID_JOURNAL_BEHIND "dfdd02fc6956428c93d78a555be6d3a3"
